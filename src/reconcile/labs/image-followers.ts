import type { Logger } from 'pino';
import type { BuildPhase } from '../../domain/build/build.ts';
import type { ObservedIntent } from '../../domain/lab/observed.ts';
import { runContext } from '../../util/run-context.ts';
import { aborted, sleep } from '../../util/sleep.ts';
import type { BuildService } from '../builds/build-service.ts';
import type { Component, Health } from '../health.ts';
import type { OperationLog } from './operation-log.ts';

export interface ImageFollowersOptions {
  readonly builds: BuildService;
  /** A build that a lab waits for has ended, or nothing is known of it. */
  readonly onEnd: (slug: string) => void;
  readonly logger: Logger;
}

interface Follower {
  readonly spawnId: string;
  readonly buildId: string;
  readonly halt: AbortController;
}

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
export const RESOLVING = 2;
/** Before a stream that ended before its build did is read again. */
const RETRY_MS = 2_000;
/** Lines that say how a build goes on, out of thousands: what is fetched, and each step of a Dockerfile. */
const INTERESTING =
  /^(?:Picked |Cloning into|HEAD is now|Using \S+ builder|STEP \d+|Step \d+|#\d+ \[|Successfully |error|ERROR)/;
/** Most lines that are passed on, so that the events of the lab itself have room. */
const LINES = 200;
const LONGEST_LINE = 200;

/**
 * Tells the readers of labs how the builds of their images go on. Every replica follows the builds of the labs that wait,
 * for its own readers; and a build that is followed is one that somebody waits for.
 */
export class ImageFollowers implements Component {
  readonly name = 'lab-image-followers';
  readonly #options: ImageFollowersOptions;
  readonly #followers = new Map<string, Follower>();
  readonly #tasks = new Set<Promise<void>>();
  #isStopped = false;

  constructor(options: ImageFollowersOptions) {
    this.#options = options;
  }

  health(): Health {
    return { component: this.name, ready: true };
  }

  /** Lets go of everything when `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await aborted(signal);
    this.#isStopped = true;
    for (const slug of [...this.#followers.keys()]) this.drop(slug);
    await Promise.all(this.#tasks);
  }

  /** The lab waits for its image: what is known of that is told to this log. */
  follow(slug: string, { spec, build }: ObservedIntent, log: OperationLog): void {
    if (spec.source !== undefined && build === null) {
      log.info(`Looking for ${spec.source.ref} of ${spec.source.repository.url}`, RESOLVING);
    }
    const known = this.#followers.get(slug);
    if (known?.spawnId === spec.spawnId && known.buildId === build?.id) return;
    this.drop(slug);
    if (build === null || this.#isStopped) return;
    const follower = { spawnId: spec.spawnId, buildId: build.id, halt: new AbortController() };
    this.#followers.set(slug, follower);
    // It outlives the run that has begun it.
    const task = runContext.exit(() => this.#follow(slug, build.id, log, follower.halt.signal));
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  /** The lab does not wait any more. */
  drop(slug: string): void {
    this.#followers.get(slug)?.halt.abort();
    this.#followers.delete(slug);
  }

  /** Never rejects. */
  async #follow(slug: string, id: string, log: OperationLog, signal: AbortSignal): Promise<void> {
    const { builds, onEnd, logger } = this.#options;
    for (;;) {
      try {
        await this.#read(slug, id, log, signal);
      } catch (err) {
        if (!signal.aborted)
          logger.debug({ err, lab: slug, build: id }, 'events of a build could not be read; will retry');
      }
      const phase = builds.get(id)?.phase;
      if (phase === undefined || phase === 'ready' || phase === 'failed' || phase === 'cancelled') onEnd(slug);
      await sleep(RETRY_MS, signal);
      if (signal.aborted) return;
    }
  }

  async #read(slug: string, id: string, log: OperationLog, signal: AbortSignal): Promise<void> {
    let progress = RESOLVING;
    let lines = 0;
    for await (const event of this.#options.builds.events(id, undefined, signal) ?? []) {
      if (event.type === 'phase') {
        progress = PROGRESS[event.phase] ?? progress;
        log.info(event.message, progress);
      } else if (event.type === 'log') {
        const line = interestingLine(event.text);
        if (line === undefined || (lines += 1) > LINES) continue;
        progress = Math.max(progress, progressOfStep(line));
        log.info(line, progress);
      } else this.#options.onEnd(slug);
    }
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
