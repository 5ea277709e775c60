import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildPhase } from '../../../domain/build/build.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import type { Finding, Reason, Trouble } from '../../../domain/lab/reasons.ts';
import { SKEW_TOLERANCE_MS } from '../../../util/clock.ts';
import type { ObservedRun } from '../executors/executor.ts';

/** How long each stage may take, and how long what is over is kept; milliseconds. */
export interface BuildTimings {
  readonly queued: number;
  readonly scheduling: number;
  readonly imagePull: number;
  readonly noOutput: number;
  readonly push: number;
  readonly total: number;
  readonly retention: number;
  /** How long the log of a build that is over stays where the build ran, for readers of other replicas. */
  readonly logHeld: number;
}

/** Everything that is known of one build besides its Job. Durations are milliseconds by the monotonic clock. */
export interface BuildMemory {
  readonly slot: BuildSlot | undefined;
  /** How long ago it was asked for. */
  readonly ageMs: number;
  /** For how long it has had its slot; 0 without one. */
  readonly slotMs: number;
  readonly run: ObservedRun | undefined;
  /** What runs it is removed by us when it has ended: it runs in a copy of the Job, or in a container. */
  readonly isRemote?: boolean;
  /** The executor that its slot names has not been heard since this process began: it may run there or not. */
  readonly isUnknown?: boolean;
  /** Another executor can take builds now. */
  readonly hasElsewhere?: boolean;
  /** How long the run has been in its stage, as far as this process knows. */
  readonly stageMs: number;
  /** What keeps it from running, and for how long. */
  readonly trouble: (Trouble & { readonly forMs: number }) | null;
  readonly log: {
    /** Its lines are being read by this process, and its readers have not had its end. */
    readonly followed: boolean;
    /** Every line that there will be has been read. */
    readonly drained: boolean;
    /** Lines that have been read. */
    readonly lines: number;
    /** For how long nothing was written while the log could be read. */
    readonly silentMs: number;
    /** repo2docker's word for what it is doing. */
    readonly phase: string | null;
    /** For how long it has been pushing; null when it does not. */
    readonly pushingMs: number | null;
    /** What repo2docker said of why it failed. */
    readonly failure: string | null;
    /** The builder's word for that, where it has one. */
    readonly reason?: Reason | null;
  };
  /** How much longer somebody is taken to wait for it, as far as this process knows; Infinity while somebody does. */
  readonly wantedMs: number;
  /** Kueue admits builds. */
  readonly kueue: boolean;
}

/** The one next thing to do for a build. `again` is in milliseconds: look once more by then even if nothing changes. */
export type BuildDecision =
  | { readonly do: 'nothing'; readonly again?: number }
  | { readonly do: 'wait'; readonly again: number }
  | { readonly do: 'take-slot' }
  | { readonly do: 'start'; readonly again: number }
  | { readonly do: 'follow'; readonly phase: BuildPhase; readonly again: number }
  | { readonly do: 'drain'; readonly again: number }
  | { readonly do: 'move-on'; readonly finding: Finding }
  | { readonly do: 'confirm' }
  | { readonly do: 'abandon' }
  | { readonly do: 'end'; readonly status: 'failed' | 'cancelled'; readonly finding: Finding }
  | { readonly do: 'clean-up' }
  | { readonly do: 'remove-run' }
  | { readonly do: 'forget' };

/** How far the cache of what runs may be behind that of the Jobs. */
const BEHIND_MS = 5_000;
/** The log is read to its end while this goes by between two looks. */
const DRAIN_AGAIN_MS = 1_000;

/** What the checks look at. `now` is in milliseconds since the epoch: for what is written in the cluster, and nothing else. */
interface Situation {
  readonly build: ObservedBuild;
  readonly memory: BuildMemory;
  readonly timings: BuildTimings;
  readonly now: number;
}

/** One reason to do something. The first check of a chain that has one decides. */
type Check = (situation: Situation) => BuildDecision | undefined;

const CHECKS: readonly Check[] = [isBeingRemoved, isOver, isCancelled, isUnwanted, waitsForSlot, hasSlot];
const OVER_CHECKS: readonly Check[] = [isNotReadToItsEnd, holdsSomething, isHeldForReaders, isKept];
const SLOT_CHECKS: readonly Check[] = [
  ...[runHasEnded, waitsForKueue, tookTooLong, isUnknown, hasNoRun],
  ...[isNotRunningInTime, hasLastingTrouble, isNotRunningYet, isSilent, pushesTooLong, isRunning],
];

/**
 * What to do next for one build, from what is observed alone; the same rules hold after a restart.
 *
 * ```
 *            request           admitted           pod ends, log read      digest confirmed
 *   (none) ─────────► waiting ───────► has a slot ───────────────► ended ─────────────────► ready
 *                        │                 │                         │                        │
 *                        │ cancelled, too late, nobody waits         │ failed                 │
 *                        ▼                 ▼                         ▼                        ▼
 *                      result (failed, cancelled) ── clean-up: nothing runs, no Secret, no slot ── retention ──► (none)
 * ```
 *
 * @param now milliseconds since the epoch
 */
export function decideBuild(
  build: ObservedBuild,
  memory: BuildMemory,
  timings: BuildTimings,
  now: number,
): BuildDecision {
  return first(CHECKS, { build, memory, timings, now });
}

function first(checks: readonly Check[], situation: Situation): BuildDecision {
  for (const check of checks) {
    const decision = check(situation);
    if (decision !== undefined) return decision;
  }
  return { do: 'nothing' };
}

function isBeingRemoved({ build }: Situation): BuildDecision | undefined {
  return build.terminating ? { do: 'nothing' } : undefined;
}

function isOver(situation: Situation): BuildDecision | undefined {
  return situation.build.result === null ? undefined : first(OVER_CHECKS, situation);
}

/** Another replica may have been faster: the archive is given every line, and readers here get them first. */
function isNotReadToItsEnd({ build, memory: { run, log }, now }: Situation): BuildDecision | undefined {
  if (build.result === null || run === undefined || !log.followed || log.drained) return undefined;
  const { at, lines = 0 } = build.result;
  // The cache of pods may be behind that of Jobs.
  const isBehind = run.stage !== 'ended' && log.lines < lines && now < at + BEHIND_MS;
  return isBehind || run.stage === 'ended' ? { do: 'drain', again: DRAIN_AGAIN_MS } : undefined;
}

function holdsSomething({ memory: { slot, run } }: Situation): BuildDecision | undefined {
  const runs = run !== undefined && run.stage !== 'ended';
  return slot !== undefined || runs ? { do: 'clean-up' } : undefined;
}

/** What has ended in this cluster goes with its Job; what has ended elsewhere is removed by us. */
function isHeldForReaders({ build, memory, timings, now }: Situation): BuildDecision | undefined {
  if (memory.isRemote !== true || memory.run === undefined) return undefined;
  const left = (build.result?.at ?? 0) + timings.logHeld - now;
  return left > 0 ? { do: 'nothing', again: left } : { do: 'remove-run' };
}

function isKept({ build, timings, now }: Situation): BuildDecision {
  const left = (build.result?.at ?? 0) + timings.retention - now;
  return left > 0 ? { do: 'nothing', again: left } : { do: 'forget' };
}

/** Everybody who has the id reads it, so that it does not say who it was: that is in the audit log. */
function isCancelled({ build: { cancel } }: Situation): BuildDecision | undefined {
  if (cancel === null) return undefined;
  const finding: Finding =
    cancel.reason === 'Abandoned'
      ? { reason: 'Abandoned', message: 'Nobody waited for the build any more.' }
      : { reason: 'Cancelled', message: 'The build was cancelled.' };
  return { do: 'end', status: 'cancelled', finding };
}

/** Milliseconds for which somebody still waits for it. What another replica has noted is given the skew of its clock. */
function wantedFor({ build, memory, now }: Situation): number {
  if (build.spec.detached) return Infinity;
  return Math.max(build.interestExpiresAt + SKEW_TOLERANCE_MS - now, memory.wantedMs);
}

function isUnwanted(situation: Situation): BuildDecision | undefined {
  const isLate = wantedFor(situation) <= 0 && situation.memory.run?.stage !== 'ended';
  return isLate ? { do: 'abandon' } : undefined;
}

function waitsForSlot(situation: Situation): BuildDecision | undefined {
  const { build, memory, timings } = situation;
  const { suspended, finished } = build;
  const { slot, kueue, trouble } = memory;
  if (slot !== undefined) return undefined;
  // Somebody else has released it: it takes a slot, whatever the bounds say.
  if (kueue || !suspended || finished !== null) return { do: 'take-slot' };
  const left = timings.queued - memory.ageMs;
  if (left > 0) return whileWanted({ do: 'wait', again: left }, situation);
  const message = `The build was queued for ${minutes(timings.queued)}.${trouble === null ? '' : ` ${trouble.message}`}`;
  return fail({ reason: trouble?.reason ?? 'QueueTimeout', message });
}

function hasSlot(situation: Situation): BuildDecision {
  return whileWanted(first(SLOT_CHECKS, situation), situation);
}

/** The log is drained before anything is said of the end. */
function runHasEnded({ memory: { run, log } }: Situation): BuildDecision | undefined {
  if (run?.stage !== 'ended') return undefined;
  if (run.hasLog && !log.drained) return { do: 'drain', again: DRAIN_AGAIN_MS };
  if (run.end === null) return { do: 'confirm' };
  if (run.end.reason !== 'BuildFailed') return fail(run.end);
  const reason = log.reason ?? (log.phase === 'pushing' ? 'PushFailed' : 'BuildFailed');
  return fail({ reason, message: log.failure ?? run.end.message });
}

/** Kueue has the queue; what Labwright prepares for the build is prepared meanwhile. */
function waitsForKueue({ build, memory, timings }: Situation): BuildDecision | undefined {
  if (!memory.kueue || !build.suspended) return undefined;
  const left = timings.queued - memory.ageMs;
  if (left > 0) return { do: 'start', again: left };
  return fail({ reason: 'QueueTimeout', message: `The build was queued for ${minutes(timings.queued)}.` });
}

/** Milliseconds until the build has taken too long in all. */
function totalLeft({ memory, timings }: Situation): number {
  return timings.total - memory.slotMs;
}

function tookTooLong(situation: Situation): BuildDecision | undefined {
  if (totalLeft(situation) > 0) return undefined;
  const message = `The build took longer than ${minutes(situation.timings.total)}.`;
  return fail({ reason: 'DeadlineExceeded', message });
}

function isUnknown(situation: Situation): BuildDecision | undefined {
  if (situation.memory.isUnknown !== true) return undefined;
  return { do: 'follow', phase: 'starting', again: totalLeft(situation) };
}

function hasNoRun(situation: Situation): BuildDecision | undefined {
  const { memory, timings } = situation;
  if (memory.run !== undefined) return undefined;
  const left = timings.scheduling - memory.slotMs;
  if (left > 0) return { do: 'start', again: Math.min(left, totalLeft(situation)) };
  const message = `The build could not be started within ${minutes(timings.scheduling)}.`;
  return fail({ reason: 'SchedulingTimeout', message });
}

/** How a run that does not run yet is spoken of, and for how long it may stay there. */
function preparing({ memory: { run }, timings }: Situation) {
  if (run?.stage === 'waiting') {
    const late = { reason: 'SchedulingTimeout', message: 'The build was not scheduled' } as const;
    return { phase: 'scheduling', patience: timings.scheduling, late } as const;
  }
  const late = { reason: 'PullTimeout', message: 'The container of the build did not start' } as const;
  return run?.stage === 'preparing' ? ({ phase: 'pulling', patience: timings.imagePull, late } as const) : undefined;
}

function isNotRunningInTime(situation: Situation): BuildDecision | undefined {
  const stage = preparing(situation);
  const { trouble, stageMs } = situation.memory;
  if (stage === undefined || stageMs < stage.patience) return undefined;
  const message = `${stage.late.message} within ${minutes(stage.patience)}.`;
  return fail(trouble === null ? { ...stage.late, message } : { ...trouble, message: `${message} ${trouble.message}` });
}

function hasLastingTrouble(situation: Situation): BuildDecision | undefined {
  const { trouble, run, hasElsewhere = false } = situation.memory;
  if (preparing(situation) === undefined || trouble === null || trouble.forMs < trouble.afterMs) return undefined;
  // One executor does not admit it, and another may.
  const isRefused =
    run?.stage === 'waiting' && (trouble.reason === 'AdmissionDenied' || trouble.reason === 'QuotaExceeded');
  return isRefused && hasElsewhere ? { do: 'move-on', finding: trouble } : fail(trouble);
}

function isNotRunningYet(situation: Situation): BuildDecision | undefined {
  const stage = preparing(situation);
  if (stage === undefined) return undefined;
  const { trouble, stageMs } = situation.memory;
  const grace = trouble === null ? Infinity : trouble.afterMs - trouble.forMs;
  const again = Math.min(stage.patience - stageMs, grace, totalLeft(situation));
  return { do: 'follow', phase: stage.phase, again };
}

function isSilent({ memory, timings }: Situation): BuildDecision | undefined {
  if (memory.log.silentMs < timings.noOutput) return undefined;
  return fail({ reason: 'NoOutput', message: `No build output for ${minutes(timings.noOutput)}.` });
}

function pushesTooLong({ memory: { log }, timings }: Situation): BuildDecision | undefined {
  if (log.pushingMs === null || log.pushingMs < timings.push) return undefined;
  return fail({ reason: 'PushTimeout', message: `The image was not pushed within ${minutes(timings.push)}.` });
}

function isRunning(situation: Situation): BuildDecision {
  const { memory, timings } = situation;
  const { log } = memory;
  const silence = timings.noOutput - log.silentMs;
  const push = log.pushingMs === null ? Infinity : timings.push - log.pushingMs;
  return { do: 'follow', phase: phaseOfLog(log.phase), again: Math.min(silence, push, totalLeft(situation)) };
}

/** repo2docker's own word for what it does. */
export function phaseOfLog(word: string | null): BuildPhase {
  if (word === null || word === 'fetching') return 'fetching';
  return word === 'pushing' ? 'pushing' : 'building';
}

/** The decision, looked at again when nobody waits any more. */
function whileWanted(decision: BuildDecision, situation: Situation): BuildDecision {
  const left = wantedFor(situation);
  return 'again' in decision && left > 0
    ? { ...decision, again: Math.min(decision.again ?? Infinity, left) }
    : decision;
}

function fail({ reason, message }: Finding): BuildDecision {
  return { do: 'end', status: 'failed', finding: { reason, message } };
}

function minutes(ms: number): string {
  const [amount, unit] = ms >= 120_000 ? [Math.round(ms / 60_000), 'minutes'] : [Math.round(ms / 1000), 'seconds'];
  return `${String(amount)} ${unit}`;
}
