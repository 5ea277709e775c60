import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { LabwrightError } from '../../../domain/errors.ts';
import type { LogStore, StoredBuild, StoredLine } from '../../../storage/archive/log-store.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import { Memo } from '../../../util/memo.ts';
import { raceAbort } from '../../../util/abort.ts';
import { Controller } from '../../controller.ts';
import { ArchivedLog } from './archived-log.ts';

export interface BuildArchiveOptions {
  /** Absent: nothing is archived. */
  readonly files: LogStore | undefined;
  readonly logger: Logger;
  /** After so many milliseconds without one log that could be saved, nobody waits for the archive any more. */
  readonly patienceMs?: number;
  readonly clock?: Clock;
}

/** A log could not be archived this time. */
export class ArchiveUnavailable extends Error {
  override readonly name = 'ArchiveUnavailable';
  /** None could be for a while: waiting for the archive would hold up builds. */
  readonly isLasting: boolean;

  constructor(isLasting: boolean, cause: unknown) {
    super('The log of a build could not be archived', { cause });
    this.isLasting = isLasting;
  }
}

/** Builds that are indexed in memory; of older ones the file is looked at when somebody asks. */
const INDEXED = 10_000;
/** Builds that are not in the archive: how many are remembered, and for how many milliseconds. */
const MISSES = { max: 1_000, ttl: 2_000 };
const PATIENCE_MS = 60_000;
/** For reading and saving the log of a build that ended while no replica followed it. */
const SAVE_MS = 30_000;
const REFRESH_MS = 10 * 60_000;
/** The longest pause before a refresh that failed is tried again, in milliseconds. */
const RETRY_MS = 60_000;
/** Thousands of headers on a slow volume. */
const REFRESH_TIMEOUT_MS = 5 * 60_000;

/**
 * The results and logs of builds that are over, in a directory that any number of replicas share. Each has an index of it in
 * memory, brought up to date by its own saves, by `refresh`, and by looking at the file of a build that is not in it.
 */
export class BuildArchive {
  readonly #options: BuildArchiveOptions;
  readonly #clock: Clock;
  readonly #index = new LRUCache<string, StoredBuild>({ max: INDEXED });
  /** When each file was written that has been read for the index, milliseconds since the epoch. */
  readonly #read = new LRUCache<string, number>({ max: INDEXED });
  readonly #misses = new LRUCache<string, true>(MISSES);
  readonly #looking = new Memo<StoredBuild | undefined>();
  /** Saves that fail: since when, and when the last one did, by the monotonic clock. */
  #failing: { readonly since: number; readonly lastAt: number } | null = null;

  constructor(options: BuildArchiveOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Whether anything is archived at all. */
  get isEnabled(): boolean {
    return this.#options.files !== undefined;
  }

  /** How the build ended, as far as the index says: `find` knows of builds that another replica has archived as well. */
  known(id: string): StoredBuild | undefined {
    return this.#index.get(id);
  }

  /**
   * How the build ended, from the index or else from its file.
   *
   * @param createdAt when it was asked for: tells it from one of the same id before it
   * @throws {LabwrightError} when the archive does not answer
   */
  async find(id: string, signal?: AbortSignal, createdAt?: number): Promise<StoredBuild | undefined> {
    const isMeant = (build: StoredBuild | undefined) => createdAt === undefined || build?.spec.createdAt === createdAt;
    const known = this.#index.get(id);
    if (known !== undefined && isMeant(known)) return known;
    if (this.#misses.has(id)) return undefined;
    try {
      const found = await this.#look(id, signal);
      if (found === undefined) this.#misses.set(id, true);
      return isMeant(found) ? found : undefined;
    } catch (cause) {
      signal?.throwIfAborted();
      const message = 'The archive of builds does not answer at the moment; try again';
      throw new LabwrightError('not_ready', 503, message, { cause, retryAfter: 5 });
    }
  }

  /** The log of a build that `find` has found. It is read from its file as its readers go on. */
  log(build: StoredBuild): ArchivedLog {
    const { files } = this.#options;
    const { id } = build.spec;
    return new ArchivedLog(build, async function* (after, signal) {
      if (files !== undefined) yield* files.lines(id, after, signal);
    });
  }

  /**
   * Archives a build that is over, unless it is there already: a log that another replica has saved may be of a pod that has
   * been removed since.
   *
   * @param read its log, when it is not there yet
   * @throws {ArchiveUnavailable} when it can be tried again
   * @throws the signal's reason when it aborts: that says nothing of the archive
   */
  async save(
    build: StoredBuild,
    read: (signal: AbortSignal) => Promise<Iterable<StoredLine>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { files } = this.#options;
    if (files === undefined) return;
    try {
      await this.#save(build, read, files, AbortSignal.any([signal, AbortSignal.timeout(SAVE_MS)]));
      this.#failing = null;
    } catch (error) {
      signal.throwIfAborted();
      throw new ArchiveUnavailable(this.#noteFailure(), error);
    }
  }

  async #save(
    build: StoredBuild,
    read: (signal: AbortSignal) => Promise<Iterable<StoredLine>>,
    files: LogStore,
    signal: AbortSignal,
  ): Promise<void> {
    const { id, createdAt } = build.spec;
    const isThere = async () => (await this.#look(id, signal))?.spec.createdAt === createdAt;
    if (this.#index.get(id)?.spec.createdAt === createdAt || (await isThere())) return;
    const lines = await read(signal);
    // While it was read, which may take long, another replica may have saved it and removed what ran it.
    if (await isThere()) return;
    await files.save({ ...build, lines }, signal);
    this.#misses.delete(id);
    this.#index.set(id, build);
  }

  /** @returns whether the archive has failed for so long, with no longer pause in which nothing was tried */
  #noteFailure(): boolean {
    const { patienceMs = PATIENCE_MS } = this.#options;
    const now = this.#clock.monotonic();
    // What failed in an earlier term of this leader says nothing of the archive now.
    const isOld = this.#failing === null || now - this.#failing.lastAt > patienceMs;
    this.#failing = { since: isOld ? now : (this.#failing?.since ?? now), lastAt: now };
    return now - this.#failing.since >= patienceMs;
  }

  /** What the file says, whatever is remembered of it. */
  async #look(id: string, signal?: AbortSignal): Promise<StoredBuild | undefined> {
    const { files } = this.#options;
    if (files === undefined) return undefined;
    const found = await this.#looking.get(id, signal, (looking) => files.find(id, looking));
    if (found !== undefined) this.#index.set(id, found);
    return found;
  }

  /** Removes what is too old or too much, and learns what other replicas have archived or removed. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { files } = this.#options;
    if (files === undefined) return;
    const before = [...this.#index.keys()];
    await raceAbort(files.sweep(Date.now()), signal);
    const there = new Set<string>();
    const isKnown = (id: string, at: number) => {
      there.add(id);
      const isRead = this.#read.get(id) === at && this.#index.has(id);
      this.#read.set(id, at);
      return isRead;
    };
    // The newest last: it is then the last to be forgotten.
    for (const build of (await raceAbort(files.list(signal, isKnown), signal)).toReversed()) {
      this.#index.set(build.spec.id, build);
    }
    for (const id of before) if (!there.has(id)) this.#index.delete(id);
  }
}

/** Keeps the archive within its bounds and its index up to date: on every replica, since two that sweep at once do no harm. */
export function archiveController(archive: BuildArchive, logger: Logger): Controller {
  return new Controller({
    name: 'build-archive',
    caches: [],
    sources: [],
    keys: () => (archive.isEnabled ? ['archive'] : []),
    reconcile: (_key, { signal }) => archive.refresh(signal),
    resyncMs: REFRESH_MS * (0.9 + Math.random() / 5),
    runTimeoutMs: REFRESH_TIMEOUT_MS,
    maxDelayMs: RETRY_MS,
    needsLeader: false,
    logger,
  });
}
