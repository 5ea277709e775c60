import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import type { RunStage } from '../../../domain/build/build-run.ts';
import type { Trouble } from '../../../domain/lab/reasons.ts';
import { type Clock, SKEW_TOLERANCE_MS } from '../../../util/clock.ts';
import type { ObservedRun } from '../executors/executor.ts';

/**
 * How old something is whose time another replica may have written into the cluster: as its clock says when it is first seen
 * here, less the skew that two clocks may have, and by the monotonic clock from then on.
 */
class Age {
  readonly at: number;
  readonly #before: number;
  readonly #seenAt: number;

  /** @param at milliseconds since the epoch */
  constructor(at: number, clock: Clock) {
    this.at = at;
    this.#before = Math.max(0, clock.now() - at - SKEW_TOLERANCE_MS);
    this.#seenAt = clock.monotonic();
  }

  ms(clock: Clock): number {
    return this.#before + clock.monotonic() - this.#seenAt;
  }
}

/** Since when something is so; milliseconds of the monotonic clock. */
interface Since<T> {
  readonly what: T;
  readonly since: number;
}

/**
 * What the reconciler remembers of one build, by the Job it is of. All of it can be lost: durations then begin anew, except
 * those that are counted from what is in the cluster.
 */
export class BuildAttempt {
  readonly uid: string;
  /** When its container began; milliseconds since the epoch. */
  startedAt: number | null = null;
  /** It was made sure that its run has ended without a log. */
  isSureOfEnd = false;
  /** Since when the registry has been asked for its image. */
  confirmingSince: number | null = null;
  readonly #clock: Clock;
  readonly #age: Age;
  #slot: Age | undefined;
  #stage: Since<RunStage> | undefined;
  #trouble: Since<Trouble> | undefined;
  #pushingSince: number | undefined;
  readonly #interestExpiresAt: number;

  /** @param wantedMs how long somebody is taken to wait for it, whatever is noted */
  constructor({ uid, spec }: ObservedBuild, clock: Clock, wantedMs: number) {
    this.uid = uid;
    this.#clock = clock;
    this.#age = new Age(spec.createdAt, clock);
    this.#interestExpiresAt = clock.monotonic() + wantedMs;
  }

  get ageMs(): number {
    return this.#age.ms(this.#clock);
  }

  slotMs(slot: BuildSlot | undefined): number {
    if (slot === undefined) this.#slot = undefined;
    else if (this.#slot?.at !== slot.at) this.#slot = new Age(slot.at, this.#clock);
    return this.#slot?.ms(this.#clock) ?? 0;
  }

  /** Brings it up to date with what runs. */
  observe(run: ObservedRun | undefined): void {
    if (run === undefined) return;
    const now = this.#clock.monotonic();
    if (this.#stage?.what !== run.stage) this.#stage = { what: run.stage, since: now };
    this.startedAt = run.startedAt ?? this.startedAt;
    const { trouble } = run;
    const isSame = this.#trouble?.what.reason === trouble?.reason;
    this.#trouble =
      trouble === null ? undefined : { what: trouble, since: isSame ? (this.#trouble?.since ?? now) : now };
  }

  get stageMs(): number {
    return this.#since(this.#stage?.since) ?? 0;
  }

  get trouble(): (Trouble & { readonly forMs: number }) | null {
    const trouble = this.#trouble;
    return trouble === undefined ? null : { ...trouble.what, forMs: this.#since(trouble.since) ?? 0 };
  }

  /** It is to run somewhere else, where its stages begin anew. */
  forgetRun(): void {
    this.#stage = undefined;
    this.#trouble = undefined;
  }

  /** @param phase repo2docker's word */
  pushingMs(phase: string | null): number | null {
    this.#pushingSince = phase === 'pushing' ? (this.#pushingSince ?? this.#clock.monotonic()) : undefined;
    return this.#since(this.#pushingSince) ?? null;
  }

  /** How much longer those are waited for who may come back after a restart. */
  get wantedMs(): number {
    return this.#interestExpiresAt - this.#clock.monotonic();
  }

  #since(since: number | undefined): number | undefined {
    return since === undefined ? undefined : this.#clock.monotonic() - since;
  }
}

/** After a restart, who waited for a build has so long to come back before the time begins in which nobody waits. */
const COMING_BACK_MS = 30_000;

/** The attempts that this process reconciles, by id of the build. */
export class BuildAttempts {
  readonly #current = new Map<string, BuildAttempt>();
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #abandonAfter: number;

  constructor(clock: Clock, abandonAfter: number) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#abandonAfter = abandonAfter;
  }

  /** What was seen in an earlier term may have passed and come back while another replica led. */
  clear(): void {
    this.#current.clear();
  }

  resume(build: ObservedBuild): BuildAttempt {
    const { id, createdAt } = build.spec;
    const before = this.#current.get(id);
    if (before?.uid === build.uid) return before;
    const isFromBefore = createdAt < this.#startedAt;
    const attempt = new BuildAttempt(build, this.#clock, isFromBefore ? COMING_BACK_MS + this.#abandonAfter : 0);
    this.#current.set(id, attempt);
    return attempt;
  }

  forget(id: string): void {
    this.#current.delete(id);
  }
}
