import type { Readable } from 'node:stream';
import type { BuildNamespaceObjects } from '../../../../builder/build/build-pod-builder.ts';
import { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import type { BackendConfig } from '../../../../config/config.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import { SetupError } from '../../../../domain/setup-error.ts';
import { isOutdated, KubeError } from '../../../../storage/kubernetes/kube-error.ts';
import { refusalOf } from '../../../labs/objects/refusal.ts';
import type { Controller } from '../../../controller.ts';
import { NamespaceSetup, NAMESPACE } from '../../../namespace-setup.ts';
import type { BuildScope } from '../../build-scope.ts';
import {
  type Attempt,
  type BuildExecutor,
  type BuildSecrets,
  ExecutorUnavailable,
  type LogPosition,
  type ObservedRun,
} from '../executor.ts';
import type { Installation } from '../installation.ts';
import { JobRuns, openPodLog } from './job-runs.ts';
import { JobWriter } from './job-writer.ts';
import { BuildCache } from './build-cache.ts';
import { RemoteJobs, remoteJobs } from './remote-jobs.ts';

export interface RemoteClusterExecutorOptions {
  readonly name: string;
  readonly capacity: number;
  /** Of that cluster. Its objects are labelled with the name of the installation. */
  readonly scope: Omit<BuildScope, 'controller'>;
  readonly installation: Pick<Installation, 'read' | 'lastError'>;
  /** Instead of that of the builds. */
  readonly backend?: BackendConfig | undefined;
  readonly onChange: (id: string) => void;
  /** Builds may start there, or have been found there: for the first time or again. */
  readonly onReady: () => void;
  readonly sweepMs?: number;
}

/** What there is once the name of this installation is known. */
interface Parts {
  readonly cache: BuildCache;
  readonly objects: BuildNamespaceObjects;
  readonly runs: JobRuns;
  readonly jobs: RemoteJobs;
  readonly writer: JobWriter;
}

/** Builds in another cluster: for each there is a Job there, made when the build has been admitted and removed with it. */
export class RemoteClusterExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly controllers: readonly Controller[];
  readonly #options: RemoteClusterExecutorOptions;
  readonly #namespace: NamespaceSetup;
  #parts: Parts | undefined;

  constructor(options: RemoteClusterExecutorOptions) {
    const { name, capacity, scope, sweepMs } = options;
    this.name = name;
    this.capacity = capacity;
    this.#options = options;
    this.#namespace = new NamespaceSetup({
      name: `build-namespace/${name}`,
      client: scope.client,
      objects: () => this.#parts?.objects,
      onProvisioned: () => this.#tellReady(),
      logger: scope.logger,
    });
    const sweep = { jobs: () => (this.isReady ? this.#parts?.jobs : undefined), sweepMs, logger: scope.logger };
    this.controllers = [this.#namespace.controller, remoteJobs({ name: `remote-jobs/${name}`, ...sweep })];
  }

  get isKnown(): boolean {
    return this.#parts?.cache.isSynced === true;
  }

  get isReady(): boolean {
    return this.isKnown && this.#namespace.isProvisioned;
  }

  get waitsFor(): string | undefined {
    if (this.#parts === undefined) return 'it is not known yet what is ours there';
    if (this.lastError?.cause instanceof SetupError) return 'its credentials cannot be had';
    return this.isKnown ? 'its namespace of builds is not prepared yet' : undefined;
  }

  get lastError(): Error | undefined {
    return this.#parts === undefined ? this.#options.installation.lastError : this.#parts.cache.lastError;
  }

  async run(signal: AbortSignal): Promise<void> {
    const controller = await this.#options.installation.read(signal);
    if (controller === undefined) return;
    this.#parts ??= this.#makeParts(controller);
    this.#namespace.controller.enqueue(NAMESPACE);
    const { cache } = this.#parts;
    void cache.synced.then(() => {
      if (!signal.aborted) this.#tellReady();
    });
    await cache.run(signal);
  }

  *runs(): Iterable<ObservedRun> {
    for (const { spec } of this.#parts?.cache.jobs() ?? []) {
      const run = this.observe(spec.id);
      if (run !== undefined) yield run;
    }
  }

  observe(id: string): ObservedRun | undefined {
    if (this.#parts === undefined) return undefined;
    const { cache, runs, jobs } = this.#parts;
    const job = cache.job(id);
    if (job === undefined) return jobs.vanished(id);
    const run = runs.observe(job);
    if (run !== undefined) jobs.remember(run);
    return run;
  }

  async lookAgain(id: string): Promise<void> {
    await this.#parts?.cache.lookAgain(id);
  }

  async start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    const { jobs, writer } = this.#known();
    try {
      const job = await jobs.make(spec);
      await writer.makeSecret(spec, secrets, job.uid);
      // It is ended by being removed; whatever else has become of it meanwhile, it may run.
      await writer.release(job, { whatever: true });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async stop(attempt: Attempt): Promise<void> {
    const { jobs, runs, cache } = this.#known();
    const job = cache.job(attempt.id);
    if (job?.spec.createdAt === attempt.createdAt) runs.forget(job.uid);
    await jobs.remove(attempt);
  }

  async openLog(id: string, position: LogPosition, signal: AbortSignal): Promise<Readable> {
    const { scope } = this.#options;
    const { cache } = this.#known();
    return openPodLog({ ...scope, cache }, id, position, signal);
  }

  #makeParts(controller: string): Parts {
    const { scope, backend, onChange } = this.#options;
    const { config, namespace } = scope;
    const builder = new BuildPodBuilder(config, { controller, namespace, backend });
    const onMissing = () => this.#namespace.applyAgain();
    const cache = new BuildCache({ ...scope, controller, onChange, onAccountMissing: onMissing });
    const shared = { ...scope, controller, cache, builder };
    return {
      cache,
      objects: builder.buildNamespaceObjects(),
      runs: new JobRuns(cache),
      jobs: new RemoteJobs({ ...shared, onMissing }),
      writer: new JobWriter(shared),
    };
  }

  #tellReady(): void {
    if (this.isReady) this.#options.onReady();
  }

  /** @throws {ExecutorUnavailable} */
  #known(): Parts {
    if (this.#parts !== undefined) return this.#parts;
    const cause = this.#options.installation.lastError;
    throw new ExecutorUnavailable(`${this.name} cannot be used: ${this.waitsFor ?? ''}`, { cause });
  }

  /** What is the build's own fault is a problem of the build; anything else may go better elsewhere, or later. */
  #explain(error: unknown): unknown {
    if (!(error instanceof KubeError) || isOutdated(error)) return error;
    const refused = refusalOf(error, 'build') === undefined ? undefined : 'it does not admit what a build needs';
    const why = refused ?? (error.status === 0 ? 'its API does not answer' : 'its API answers with an error');
    return new ExecutorUnavailable(`${this.name} cannot start builds: ${why}`, { cause: error });
  }
}
