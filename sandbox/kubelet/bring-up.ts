import { ContainerProblem, type PodContainer } from './containers.ts';
import type { Delays } from './delays.ts';
import type { FaultPlan } from './fault-plan.ts';
import { messages } from './messages.ts';
import { pause } from './pause.ts';
import type { PodHandle } from './pod-handle.ts';
import { Stuck } from './stuck.ts';

const PULL_RETRY_MS = 1_000;

export interface BringUpOptions {
  readonly handle: PodHandle;
  readonly container: PodContainer;
  readonly delays: Delays;
  readonly plan: FaultPlan;
  /** There is no image to be pulled, unless a fault says so. */
  readonly present: boolean;
}

/** What a container is called in events. */
interface Named {
  readonly container: string;
  readonly init?: boolean;
}

/** The stages of a pod between its node and its running container: image pulled, container created and started. */
export class BringUp {
  readonly #options: BringUpOptions;

  constructor(options: BringUpOptions) {
    this.#options = options;
  }

  /** @throws Stuck when it does not get so far; KubeError, AbortError */
  async run(signal: AbortSignal): Promise<void> {
    const { handle } = this.#options;
    await this.#pull(signal);
    try {
      await this.#create(signal);
    } catch (error) {
      if (!(error instanceof ContainerProblem)) throw error;
      const { stage, message } = error;
      await handle.warn('Failed', `Error: ${message}`, signal);
      if (stage === 'config') return this.#stickAt('CreateContainerConfigError', message, signal);
      await handle.end(128, { containerReason: 'StartError', containerMessage: message }, signal);
      throw new Stuck();
    }
  }

  async #pull(signal: AbortSignal): Promise<void> {
    const { handle, plan, delays } = this.#options;
    const { image, container } = handle;
    if (plan.get('invalidImageName') !== undefined) {
      const message = messages.invalidImageName(image);
      await handle.warn('InspectFailed', message, signal);
      await handle.warn('Failed', 'Error: InvalidImageName', signal);
      return this.#stickAt('InvalidImageName', message, signal);
    }
    if (this.#isPresent) return;
    const fault = plan.get('imagePull');
    await handle.event({ reason: 'Pulling', message: `Pulling image "${image}"`, container }, signal);
    for (let attempt = 1; fault !== undefined && attempt <= fault.attempts; attempt += 1) {
      await this.#failPull(messages.pullError(fault.reason, image), signal);
      if (fault.reason !== 'transient') throw new Stuck();
      await pause(PULL_RETRY_MS, signal);
    }
    await pause(delays.pull, signal);
  }

  async #failPull(error: string, signal: AbortSignal): Promise<void> {
    const { handle, delays } = this.#options;
    const { image, container } = handle;
    await handle.warn('Failed', `Failed to pull image "${image}": ${error}`, signal);
    await handle.warn('Failed', 'Error: ErrImagePull', signal);
    await handle.show({ main: { waiting: { reason: 'ErrImagePull', message: error } } }, signal);
    await pause(delays.start, signal);
    await handle.event({ reason: 'BackOff', message: `Back-off pulling image "${image}"`, container }, signal);
    await handle.warn('Failed', 'Error: ImagePullBackOff', signal);
    const message = `Back-off pulling image "${image}": ErrImagePull: ${error}`;
    await handle.show({ main: { waiting: { reason: 'ImagePullBackOff', message } } }, signal);
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { handle, container, plan, delays } = this.#options;
    const { image, container: name, pod } = handle;
    await this.pulled({ image, container: name }, signal);
    const config = plan.get('containerConfig');
    if (config !== undefined) throw new ContainerProblem('config', config.message);
    const start = plan.get('containerStart');
    if (start !== undefined) {
      const message = start.message ?? messages.notStarted(messages.noExecutable('jupyterhub-singleuser'));
      throw new ContainerProblem('start', message);
    }
    await container.start(pod, signal);
    await this.started({ container: name }, signal);
    await pause(delays.start, signal);
  }

  async #stickAt(reason: string, message: string, signal: AbortSignal): Promise<never> {
    await this.#options.handle.show({ main: { waiting: { reason, message } } }, signal);
    throw new Stuck();
  }

  /** The image is there, pulled or not. */
  async pulled(
    { image, container, init = false }: Named & { readonly image: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { delays } = this.#options;
    const message = this.#isPresent ? messages.present(image) : messages.pulled(image, delays.pull);
    await this.#options.handle.event({ reason: 'Pulled', message, container, init }, signal);
  }

  /** The container has been created and runs. */
  async started({ container, init = false }: Named, signal: AbortSignal): Promise<void> {
    const { handle } = this.#options;
    const about = { container, init };
    await handle.event({ ...about, reason: 'Created', message: `Created container: ${container}` }, signal);
    await handle.event({ ...about, reason: 'Started', message: `Started container ${container}` }, signal);
  }

  get #isPresent(): boolean {
    return this.#options.present && this.#options.plan.get('imagePull') === undefined;
  }
}
