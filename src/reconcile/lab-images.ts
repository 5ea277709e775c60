import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { isBuildOver, type BuildEvent, type BuildState } from '../domain/build.ts';
import { LabwrightError } from '../domain/errors.ts';
import type { LabBuild, LabBuiltImage, ObservedIntent } from '../domain/observed.ts';
import type { Finding, Reason } from '../domain/reasons.ts';
import type { BuildService } from './builds/build-service.ts';

/** What a lab that waits for its image is told. */
export interface ImageNews {
  /** What is going on, and how far the spawn is with it, from 1 to 100. */
  readonly onProgress: (message: string, progress: number) => void;
}

/** How far the image of a lab has come. */
export type ImageProgress =
  | { readonly is: 'pending' }
  | { readonly is: 'building'; readonly build: LabBuild }
  | { readonly is: 'ready'; readonly image: LabBuiltImage }
  | { readonly is: 'failed'; readonly finding: Finding };

export interface LabImagesOptions {
  readonly builds: BuildService;
  readonly logger: Logger;
  /** Look at this lab again. */
  readonly wake: (slug: string) => void;
}

interface Waiting {
  readonly spawnId: string;
  readonly abort: AbortController;
  progress: ImageProgress;
}

/** Where the stages of a build are in the progress of a spawn; its objects follow at 30. */
const PROGRESS: Readonly<Record<string, number>> = {
  queued: 3,
  starting: 4,
  scheduling: 5,
  pulling: 6,
  fetching: 8,
  building: 12,
  pushing: 22,
  confirming: 27,
};
const RESOLVING = 2;
const RETRY_MS = 2_000;
/** Lines that say how a build goes on, out of thousands: what is fetched, and each step of a Dockerfile. */
const INTERESTING =
  /^(?:Picked |Cloning into|HEAD is now|Using \S+ builder|STEP \d+|Step \d+|#\d+ \[|Successfully |error|ERROR)/;
const LONGEST_LINE = 200;

/**
 * Gets the images of labs that were asked for by a repository. One wait for each lab, beside the queue, so that nothing else
 * of the lab has to wait for a Git host or a registry; what comes of it is told to the lab's next run.
 *
 * All of it can be lost: the build is noted at the lab as soon as there is one.
 */
export class LabImages {
  readonly #options: LabImagesOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #tasks = new Set<Promise<void>>();
  #isStopped = false;

  constructor(options: LabImagesOptions) {
    this.#options = options;
  }

  /** How far it is; the wait begins here if it has not. */
  advance(slug: string, intent: ObservedIntent, news: ImageNews): ImageProgress {
    const known = this.#waiting.get(slug);
    if (known?.spawnId === intent.spec.spawnId) return known.progress;
    this.drop(slug);
    if (this.#isStopped) return { is: 'pending' };
    const waiting: Waiting = {
      spawnId: intent.spec.spawnId,
      abort: new AbortController(),
      progress: { is: 'pending' },
    };
    this.#waiting.set(slug, waiting);
    const task = this.#wait(slug, intent, news, waiting).finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
    return waiting.progress;
  }

  /** The lab does not wait any more. */
  drop(slug: string): void {
    this.#waiting.get(slug)?.abort.abort();
    this.#waiting.delete(slug);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const slug of [...this.#waiting.keys()]) this.drop(slug);
    await Promise.all(this.#tasks);
  }

  async #wait(slug: string, intent: ObservedIntent, news: ImageNews, waiting: Waiting): Promise<void> {
    const { signal } = waiting.abort;
    const tell = (progress: ImageProgress) => {
      if (signal.aborted) return;
      waiting.progress = progress;
      this.#options.wake(slug);
    };
    try {
      await this.#options.builds.ready();
      let { build } = intent;
      while (!signal.aborted) {
        // It may be gone when it is asked for: it was ready long ago, or somebody has removed it.
        const known = build === null ? undefined : this.#options.builds.get(build.id);
        const { spec, image } = known ?? (await this.#request(intent, build, news, signal));
        if (image !== null) {
          tell({ is: 'ready', image: { reference: image, digest: digestOf(image), at: Date.now() } });
          return;
        }
        build = { id: spec.id, commit: spec.repository.commit };
        tell({ is: 'building', build });
        const end = await this.#follow(build, news, signal);
        if (end === undefined) await delay(RETRY_MS, undefined, { signal });
        else if (end.type !== 'ready') {
          const message = `The image was not built. ${end.message}`;
          tell({ is: 'failed', finding: { reason: end.reason as Reason, message } });
          return;
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof LabwrightError))
        this.#options.logger.error({ err: error, lab: slug }, 'a lab gets no image');
      tell({ is: 'failed', finding: findingOf(error) });
    }
  }

  /** Asks for the build, again while the Git host or the registry does not answer, until the lab's time is over. */
  async #request(
    { spec }: ObservedIntent,
    build: LabBuild | null,
    { onProgress }: ImageNews,
    signal: AbortSignal,
  ): Promise<BuildState> {
    const { source } = spec;
    if (source === undefined) throw new TypeError('a lab without a source waits for no image');
    onProgress(`Looking for ${source.ref} of ${source.repository.url}`, RESOLVING);
    for (;;) {
      try {
        return await this.#options.builds.request(
          {
            repository: source.repository,
            // The commit that was meant when the lab was asked for, also if the branch has moved since.
            ref: build?.commit ?? source.ref,
            path: source.path,
            username: spec.user.username,
            detached: false,
          },
          signal,
        );
      } catch (error) {
        const mayPass = error instanceof LabwrightError && (error.status === 503 || error.status === 429);
        if (!mayPass || Date.now() >= spec.deadline) throw error;
        onProgress(error.message, RESOLVING);
        await delay((error.retryAfter ?? 1) * 1000 + RETRY_MS * Math.random(), undefined, { signal });
      }
    }
  }

  async #follow({ id }: LabBuild, { onProgress }: ImageNews, signal: AbortSignal) {
    let progress = RESOLVING;
    for await (const event of this.#options.builds.events(id, undefined, signal) ?? []) {
      if (event.type === 'phase') progress = PROGRESS[event.phase] ?? progress;
      const message = messageOf(event);
      if (message !== undefined) onProgress(message, progress);
      if (isBuildOver(event) && event.type !== 'phase' && event.type !== 'log') return event;
    }
    return undefined;
  }
}

function messageOf(event: BuildEvent): string | undefined {
  if (event.type === 'phase') return event.message;
  if (event.type !== 'log') return undefined;
  const [line = ''] = event.text.split('\n');
  if (!INTERESTING.test(line)) return undefined;
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
}

function digestOf(reference: string): string {
  return reference.slice(reference.lastIndexOf('@') + 1);
}

function findingOf(error: unknown): Finding {
  if (error instanceof LabwrightError) {
    const { cause } = error;
    const reason = (cause as { reason?: Reason } | undefined)?.reason ?? 'BuildFailed';
    return { reason, message: error.message };
  }
  return {
    reason: 'BuildFailed',
    message: 'The image could not be had, for a reason that is in the log of Labwright.',
  };
}
