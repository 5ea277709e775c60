import type { Logger } from 'pino';
import { BuildProblem, type BuildState } from '../../domain/build/build.ts';
import { Problem } from '../../domain/problem.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { buildOfLabPatch, imageOfLabPatch } from '../../domain/lab/intent.ts';
import { awaitsImage, type ObservedIntent } from '../../domain/lab/observed.ts';
import type { Finding, Reason } from '../../domain/lab/reasons.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import { Backoff } from '../../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { raceAbort } from '../../util/abort.ts';
import type { BuildService } from '../builds/build-service.ts';
import { Controller, type Run } from '../controller.ts';
import type { Result } from '../work-queue.ts';
import { RESOLVING } from './image-followers.ts';
import type { LabCache } from './lab-cache.ts';
import type { LabTeardown } from './lab-teardown.ts';
import { type Operations, subjectOf } from './operations.ts';

export interface ImageBuildsOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly operations: Operations;
  readonly teardown: Pick<LabTeardown, 'fail'>;
  readonly builds: BuildService;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The wait of one lab for its image; by the monotonic clock, in milliseconds. */
interface Wait {
  readonly spawnId: string;
  /** Since when every look has failed; null where the last one did not. */
  failingSince: number | null;
  readonly backoff: Backoff;
  /** How often the build was asked for. */
  requests: number;
}

const AT_ONCE = 16;
/** A request waits for a Git host and a registry, each with deadlines of its own. */
const RUN_TIMEOUT_MS = 5 * 60_000;
/** Where the follower of a build has missed its end, its state is read after so long at the latest. */
const LOOK_AGAIN_MS = 2_000;
/** Between two requests while a Git host, a registry or the cluster does not answer. */
const PAUSE = { firstMs: 1_000, longestMs: 10_000 };
/** How often the build of one lab is asked for: it may be forgotten between two looks, but not for ever. */
const REQUESTS = 20;
const NO_CLUSTER = 'The Kubernetes API does not answer as it should at the moment; trying again';
const FORGOTTEN: Finding = { reason: 'BuildFailed', message: 'Nobody can say what became of the build of the image.' };
const UNKNOWN: Finding = {
  reason: 'BuildFailed',
  message: 'The image could not be had, for a reason that is in the log of Labwright.',
};

/**
 * Gets the images of labs that were asked for by a repository: asks for the build, notes it at the lab, and notes the image
 * when there is one. It has a queue of its own, so that no other lab waits for a Git host or a registry. Everything that it
 * finds out is in the intent; what it remembers can be lost.
 */
export class ImageBuilds {
  readonly #options: ImageBuildsOptions;
  readonly #clock: Clock;
  readonly #waits = new Map<string, Wait>();
  readonly #requests = new Map<string, { readonly spawnId: string; readonly halt: AbortController }>();

  constructor(options: ImageBuildsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Labs that wait for their image. */
  *waiting(): Iterable<string> {
    for (const intent of this.#options.cache.intents()) if (isWaiting(intent)) yield intent.slug;
  }

  /** A lab has changed: a request for one that does not wait any more is taken back. */
  changed(slug: string): void {
    const request = this.#requests.get(slug);
    const intent = this.#options.cache.intentOf(slug);
    if (isWaiting(intent) && intent.spec.spawnId === request?.spawnId) return;
    request?.halt.abort();
  }

  async reconcile(slug: string, { signal, logger }: Run): Promise<Result> {
    const { cache, builds } = this.#options;
    const intent = cache.intentOf(slug);
    if (!isWaiting(intent)) {
      this.#waits.delete(slug);
      return {};
    }
    const wait = this.#waitOf(intent);
    try {
      const known = intent.build === null || !builds.isReady() ? undefined : builds.get(intent.build.id);
      const state = known ?? (await this.#request(intent, wait, signal));
      const result = await this.#note(intent, state);
      wait.failingSince = null;
      wait.backoff.reset();
      return result;
    } catch (error) {
      const now = cache.intentOf(slug);
      if (!isWaiting(now) || now.spec.spawnId !== intent.spec.spawnId) return {};
      // The run's time is over, or the program stops.
      if (signal.aborted) throw error;
      const left = this.#timeLeft(intent, wait);
      if (mayPass(error) && left > 0) {
        const { log } = this.#options.operations.resume('spawn', subjectOf(intent));
        log.info(error instanceof KubeError ? NO_CLUSTER : error.message, RESOLVING);
        return { requeueAfterMs: Math.min(left, Math.max(wait.backoff.next(), askedPause(error))) };
      }
      const finding = findingOf(error);
      if (finding === undefined) logger.error({ err: error, lab: slug }, 'a lab gets no image');
      return this.#options.teardown.fail(intent, finding ?? UNKNOWN);
    }
  }

  #waitOf({ slug, spec }: ObservedIntent): Wait {
    const known = this.#waits.get(slug);
    if (known?.spawnId === spec.spawnId) return known;
    const wait = { spawnId: spec.spawnId, failingSince: null, backoff: new Backoff(PAUSE), requests: 0 };
    this.#waits.set(slug, wait);
    return wait;
  }

  /** A build may take longer than a lab has for starting: what goes wrong after it has time of its own. */
  #timeLeft(intent: ObservedIntent, wait: Wait): number {
    const { spec, build } = intent;
    const at = this.#clock.monotonic();
    if (build === null) {
      const operation = this.#options.operations.resume('spawn', subjectOf(intent));
      return operation.timeLeft(intent, { hasPod: false, clockSkew: 0, now: this.#clock.now(), at });
    }
    wait.failingSince ??= at;
    return wait.failingSince + (spec.deadline - spec.createdAt) - at;
  }

  /** Asks for the build: the first time, and where it is gone. The request ends when the lab does not wait any more. */
  async #request({ slug, spec, build }: ObservedIntent, wait: Wait, signal: AbortSignal): Promise<BuildState> {
    const { builds } = this.#options;
    const { source, user, spawnId } = spec;
    if (source === undefined) throw new TypeError('a lab without a source waits for no image');
    if (wait.requests >= REQUESTS) throw new BuildProblem(FORGOTTEN);
    const halt = new AbortController();
    this.#requests.set(slug, { spawnId, halt });
    try {
      const either = AbortSignal.any([signal, halt.signal]);
      await raceAbort(builds.ready(), either);
      const known = build === null ? undefined : builds.get(build.id);
      if (known !== undefined) return known;
      const state = await builds.request(
        {
          repository: source.repository,
          // The commit that was meant when the lab was asked for, also if the branch has moved since.
          ref: build?.commit ?? source.ref,
          path: source.path,
          username: user.username,
          detached: false,
        },
        either,
      );
      wait.requests += 1;
      return state;
    } finally {
      this.#requests.delete(slug);
    }
  }

  async #note(intent: ObservedIntent, { spec, phase, image, reason, message }: BuildState): Promise<Result> {
    if (image !== null) {
      const digest = image.slice(image.lastIndexOf('@') + 1);
      await this.#patch(intent, imageOfLabPatch(intent, { reference: image, digest, at: this.#clock.now() }));
      return {};
    }
    if (phase === 'failed' || phase === 'cancelled') {
      // Of a lab that word says that a larger size would help.
      const why = reason === null || reason === 'OOMKilled' ? 'BuildFailed' : (reason as Reason);
      return this.#options.teardown.fail(intent, { reason: why, message: `The image was not built. ${message ?? ''}` });
    }
    const build = { id: spec.id, commit: spec.repository.commit };
    if (intent.build?.id !== build.id) await this.#patch(intent, buildOfLabPatch(intent, build));
    return { requeueAfterMs: LOOK_AGAIN_MS };
  }

  async #patch({ name }: ObservedIntent, patch: object): Promise<void> {
    const { client, controller, cache } = this.#options;
    try {
      cache.observeIntent(await client.patch(Secrets, { namespace: controller, name }, patch, METADATA_ONLY));
    } catch (error) {
      // Deleted or replaced meanwhile: the watch tells.
      if (!isOutdated(error)) throw error;
    }
  }
}

/** The controller `lab-images`. */
export function labImagesController(images: ImageBuilds, cache: LabCache, logger: Logger): Controller {
  return new Controller({
    name: 'lab-images',
    caches: [cache],
    sources: [
      (enqueue, signal, report) =>
        cache.changes(
          (slug) => {
            images.changed(slug);
            enqueue(slug);
          },
          signal,
          report,
        ),
    ],
    keys: () => images.waiting(),
    reconcile: (slug, run) => images.reconcile(slug, run),
    concurrency: AT_ONCE,
    runTimeoutMs: RUN_TIMEOUT_MS,
    logger,
  });
}

function isWaiting(intent: ObservedIntent | undefined): intent is ObservedIntent {
  return intent !== undefined && awaitsImage(intent) && !intent.deleting && intent.failure === null;
}

/** Whether the same may succeed in a while: a Git host, a registry or the cluster that does not answer, a queue that is full. */
function mayPass(error: unknown): error is Error {
  if (error instanceof KubeError) return error.isTransient;
  if (!(error instanceof LabwrightError)) return false;
  const passes = error.cause instanceof Problem ? error.cause.transient : error.status === 503;
  return passes || error.status === 429;
}

/** How long a party outside has asked to be left alone, in milliseconds. */
function askedPause({ cause }: Error): number {
  return cause instanceof Problem ? (cause.retryAfterMs ?? 0) : 0;
}

/** Undefined for what is a fault of ours. */
function findingOf(error: unknown): Finding | undefined {
  const problem = error instanceof LabwrightError ? error.cause : error;
  if (problem instanceof Problem) return { reason: problem.reason, message: problem.message };
  return error instanceof LabwrightError ? { reason: 'BuildFailed', message: error.message } : undefined;
}
