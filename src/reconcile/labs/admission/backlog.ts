import { awaitsImage, currentPod, type WantedLab } from '../../../domain/lab/observed.ts';

export interface BacklogOptions {
  /** Every lab that is not over, as the cluster says now. */
  readonly labs: () => Iterable<WantedLab>;
}

/** How much of its time a lab may wait before anything is done for it: the rest is for machine, image and server. */
const SHARE = 0.5;
/** Counted at most so often, in milliseconds: there may be thousands of labs, and creates come in hundreds. */
const COUNT_MS = 250;
/** Between two counts that are compared, in milliseconds. */
const WINDOW_MS = 2_000;
/** A count that is older says nothing of the pace of now, in milliseconds. */
const OUTDATED_MS = 30_000;
/** Labs a second where nothing is known, as after a quiet time: the slowest control plane that was measured makes more. */
const ASSUMED_PACE = 10;
/** Labs a second at least: the next leader takes over within seconds. */
const LEAST_PACE = 1;
/** Longest time that a caller is sent away for, in seconds. */
const LONGEST_PAUSE = 60;

interface Count {
  /** Milliseconds of the monotonic clock. */
  readonly at: number;
  /** Spawns that wait for the first thing to be done for them. */
  readonly waiting: ReadonlySet<string>;
  /** Users who have one of them. */
  readonly users: ReadonlySet<string>;
  /** Spawns that have a pod. */
  readonly made: ReadonlySet<string>;
}

/**
 * How long a lab that is accepted now would wait before its objects are made: all that wait before it, by the pace at which
 * they have been made lately. Every replica finds it in its own cache.
 *
 * Accepting more than can be met is worse than refusing: a lab would fail at its deadline, after its user has waited for it.
 */
export class Backlog {
  readonly #options: BacklogOptions;
  #latest: Count | undefined;
  #compared: { readonly before: Count; readonly after: Count } | undefined;
  #acceptedSince = 0;

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** A lab has been accepted that the next count may not show yet. */
  noteAccepted(): void {
    this.#acceptedSince += 1;
  }

  /**
   * After how many seconds a lab of this user is to be asked for again; 0 when it can be accepted now. Where much waits, those
   * who have nothing waiting come first.
   *
   * @param spawnTimeout how long a lab has for starting, in milliseconds
   * @param now milliseconds of the monotonic clock
   */
  pauseFor(username: string, spawnTimeout: number, now: number): number {
    const { waiting, users } = this.#count(now);
    const waitMs = ((waiting.size + this.#acceptedSince) / this.#pace()) * 1_000;
    const longestMs = spawnTimeout * SHARE * (users.has(username) ? 0.5 : 1);
    if (waitMs <= longestMs) return 0;
    return Math.max(1, Math.min(LONGEST_PAUSE, Math.ceil((waitMs - longestMs) / 1_000)));
  }

  #count(now: number): Count {
    const { labs } = this.#options;
    if (this.#latest !== undefined && now - this.#latest.at < COUNT_MS) return this.#latest;
    const [waiting, users, made] = [new Set<string>(), new Set<string>(), new Set<string>()];
    for (const lab of labs()) {
      const { spawnId, user } = lab.intent.spec;
      if (currentPod(lab) !== undefined) {
        made.add(spawnId);
      } else if (!awaitsImage(lab.intent)) {
        waiting.add(spawnId);
        users.add(user.username);
      }
    }
    const count = { at: now, waiting, users, made };
    this.#latest = count;
    this.#acceptedSince = 0;
    this.#compare(count);
    return count;
  }

  /** Keeps two counts to compare, of the time since something waits: what was made before that says nothing of the pace. */
  #compare(count: Count): void {
    const { before, after } = this.#compared ?? {};
    if (count.waiting.size === 0) this.#compared = undefined;
    else if (before === undefined || after === undefined || count.at - after.at > OUTDATED_MS) {
      this.#compared = { before: count, after: count };
    } else if (count.at - after.at >= WINDOW_MS) this.#compared = { before: after, after: count };
  }

  /** Labs a second. */
  #pace(): number {
    const { before, after } = this.#compared ?? {};
    if (before === undefined || after === undefined || before === after) return ASSUMED_PACE;
    const made = [...after.made].filter((spawn) => !before.made.has(spawn)).length;
    return Math.max(LEAST_PACE, (made / (after.at - before.at)) * 1_000);
  }
}
