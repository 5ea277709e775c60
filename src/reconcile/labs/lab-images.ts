import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { pinned } from '../../domain/image/image-reference.ts';
import { type BuildEvent, type BuildPhase, BuildProblem, type BuildState } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabBuild, LabBuiltImage, ObservedIntent } from '../../domain/lab/observed.ts';
import type { Finding, Reason } from '../../domain/lab/reasons.ts';
import { unlessAborted } from '../../util/unless-aborted.ts';
import { KubeError } from '../../storage/kubernetes/kube-error.ts';
import type { BuildService } from '../builds/build-service.ts';

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

interface WaitNews extends ImageNews {
  readonly onBuild: (build: LabBuild) => void;
}

type TerminalEvent = Exclude<BuildEvent, { readonly type: 'phase' | 'log' }>;

/** Where the stages of a build are in the progress of a spawn; its objects follow at 30. */
const PROGRESS: Readonly<Partial<Record<BuildPhase, number>>> & {
  readonly building: number;
  readonly pushing: number;
} = {
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
/** Before a build is looked for again whose stream ended before it did. */
const RETRY_MS = 2_000;
/** Between two requests while somebody does not answer: doubled each time, and by half more or less. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;
/** How often it is looked for. */
const ROUNDS = 20;
/** Lines that say how a build goes on, out of thousands: what is fetched, and each step of a Dockerfile. */
const INTERESTING =
  /^(?:Picked |Cloning into|HEAD is now|Using \S+ builder|STEP \d+|Step \d+|#\d+ \[|Successfully |error|ERROR)/;
/** Most lines that are passed on, so that the events of the lab itself have room. */
const LINES = 200;
const LONGEST_LINE = 200;
const NO_CLUSTER = 'The Kubernetes API does not answer as it should at the moment; trying again';
const UNKNOWN: Finding = {
  reason: 'BuildFailed',
  message: 'The image could not be had, for a reason that is in the log of Labwright.',
};

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
      const onBuild = (build: LabBuild) => tell({ is: 'building', build });
      const reference = await this.#get(intent, { ...news, onBuild }, signal);
      tell({ is: 'ready', image: { reference, digest: digestOf(reference), at: Date.now() } });
    } catch (error) {
      if (signal.aborted) return;
      const finding = findingOf(error);
      if (finding === undefined) this.#options.logger.error({ err: error, lab: slug }, 'a lab gets no image');
      tell({ is: 'failed', finding: finding ?? UNKNOWN });
    }
  }

  /** @returns `repository@sha256:…` @throws LabwrightError, BuildProblem */
  async #get(intent: ObservedIntent, news: WaitNews, signal: AbortSignal): Promise<string> {
    let { build } = intent;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const { spec, image } = await this.#find(intent, build, news, signal);
      if (image !== null) return image;
      build = { id: spec.id, commit: spec.repository.commit };
      news.onBuild(build);
      const end = await this.#follow(build, news, signal);
      if (end?.type === 'ready') return pinned(end.image, end.digest);
      if (end !== undefined) {
        // Of a lab that word says that a larger size would help.
        const reason = end.reason === 'OOMKilled' ? 'BuildFailed' : (end.reason as Reason);
        throw new BuildProblem({ reason, message: `The image was not built. ${end.message}` });
      }
      // The stream was cut before its end: the build may have been forgotten in this moment.
      await delay(RETRY_MS, undefined, { signal });
    }
    throw new BuildProblem({ reason: 'BuildFailed', message: 'Nobody can say what became of the build of the image.' });
  }

  /** The build that the lab waits for; asked for anew where it is gone. What may pass is waited for, until the lab's time is over. */
  async #find(
    intent: ObservedIntent,
    build: LabBuild | null,
    { onProgress }: ImageNews,
    signal: AbortSignal,
  ): Promise<BuildState> {
    const { spec } = intent;
    // A build may take longer than a lab has for starting: what goes wrong after it has time of its own.
    const until = build === null ? spec.deadline : Date.now() + spec.deadline - spec.createdAt;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        await unlessAborted(this.#options.builds.ready(), signal);
        const known = build === null ? undefined : this.#options.builds.get(build.id);
        return known ?? (await this.#request(intent, build, onProgress, signal));
      } catch (error) {
        const left = until - Date.now();
        if (signal.aborted || !mayPass(error) || left <= 0) throw error;
        onProgress(error instanceof KubeError ? NO_CLUSTER : error.message, RESOLVING);
        const ms = Math.max(pause * (0.5 + Math.random()), askedPause(error));
        await delay(Math.min(ms, left), undefined, { signal });
      }
    }
  }

  async #request(
    { spec }: ObservedIntent,
    build: LabBuild | null,
    onProgress: ImageNews['onProgress'],
    signal: AbortSignal,
  ): Promise<BuildState> {
    const { source, user } = spec;
    if (source === undefined) throw new TypeError('a lab without a source waits for no image');
    onProgress(`Looking for ${source.ref} of ${source.repository.url}`, RESOLVING);
    return this.#options.builds.request(
      {
        repository: source.repository,
        // The commit that was meant when the lab was asked for, also if the branch has moved since.
        ref: build?.commit ?? source.ref,
        path: source.path,
        username: user.username,
        detached: false,
      },
      signal,
    );
  }

  async #follow({ id }: LabBuild, { onProgress }: ImageNews, signal: AbortSignal): Promise<TerminalEvent | undefined> {
    let progress = RESOLVING;
    let lines = 0;
    for await (const event of this.#options.builds.events(id, undefined, signal) ?? []) {
      if (event.type === 'phase') {
        progress = PROGRESS[event.phase] ?? progress;
        onProgress(event.message, progress);
      } else if (event.type !== 'log') {
        return event;
      } else {
        const line = interestingLine(event.text);
        if (line === undefined || (lines += 1) > LINES) continue;
        progress = Math.max(progress, progressOfStep(line));
        onProgress(line, progress);
      }
    }
    return undefined;
  }
}

function interestingLine(text: string): string | undefined {
  // Without what steers a terminal: it is shown in pages.
  const [line = ''] = text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '').split(/[\r\n]/);
  if (!INTERESTING.test(line)) return undefined;
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line;
}

/** `STEP 3/11: …` is so far on the way from building to pushing. */
function progressOfStep(line: string): number {
  const [, step, of] = /^STEP (\d+)\/(\d+)/i.exec(line) ?? [];
  const share = Number(step) / Number(of);
  const { building, pushing } = PROGRESS;
  return share > 0 && share <= 1 ? Math.floor(building + (pushing - building) * share) : 0;
}

function digestOf(reference: string): string {
  return reference.slice(reference.lastIndexOf('@') + 1);
}

/** Whether the same may succeed in a while: a Git host, a registry or the cluster that does not answer, a queue that is full. */
function mayPass(error: unknown): error is Error {
  if (error instanceof KubeError) return error.isTransient;
  if (!(error instanceof LabwrightError)) return false;
  const passes = error.cause instanceof BuildProblem ? error.cause.transient : error.status === 503;
  return passes || error.status === 429;
}

/** How long a party outside has asked to be left alone, in milliseconds. */
function askedPause({ cause }: Error): number {
  return cause instanceof BuildProblem ? (cause.retryAfterMs ?? 0) : 0;
}

/** Undefined for what is a fault of ours. */
function findingOf(error: unknown): Finding | undefined {
  const problem = error instanceof LabwrightError ? error.cause : error;
  if (problem instanceof BuildProblem) return { reason: problem.reason, message: problem.message };
  return error instanceof LabwrightError ? { reason: 'BuildFailed', message: error.message } : undefined;
}
