import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildPhase } from '../../../domain/build/build.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import type { Finding, Trouble } from '../../../domain/lab/reasons.ts';
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
}

/** Everything that is known of one build besides its Job. */
export interface BuildMemory {
  readonly slot: BuildSlot | undefined;
  readonly run: ObservedRun | undefined;
  /** The executor that its slot names has not been heard since this process began: it may run there or not. */
  readonly isUnknown?: boolean;
  /** Another executor can take builds now. */
  readonly hasElsewhere?: boolean;
  /** Since when the run has been in its stage, in milliseconds since the epoch. */
  readonly stageSince: number;
  /** What keeps it from running, and for how long, in milliseconds. */
  readonly trouble: (Trouble & { readonly forMs: number }) | null;
  readonly log: {
    /** Its lines are being read by this process. */
    readonly followed: boolean;
    /** Its readers have had their terminal event. */
    readonly ended: boolean;
    /** Every line that there will be has been read. */
    readonly drained: boolean;
    /** When the last line came; milliseconds since the epoch. */
    readonly lastOutputAt: number | null;
    /** repo2docker's word for what it is doing. */
    readonly phase: string | null;
    /** Since when it has been pushing; milliseconds since the epoch. */
    readonly pushingSince: number | null;
    /** What repo2docker said of why it failed. */
    readonly failure: string | null;
  };
  /** Until when somebody is taken to wait for it, as far as this process knows; Infinity while somebody does. */
  readonly wantedUntil: number;
  /** Kueue decides whose turn it is. */
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
  | { readonly do: 'forget' };

/** How long the picture of what runs may be behind that of the builds. */
const BEHIND_MS = 5_000;
/** The log is read to its end while this goes by between two looks. */
const DRAIN_AGAIN_MS = 1_000;

/**
 * What to do next for one build, from what is observed alone; the same rules hold after a restart.
 *
 * ```
 *            request            turn              pod ends, log read      digest confirmed
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
  if (build.terminating) return { do: 'nothing' };
  if (build.result !== null) return decideEnded(build.result.at, memory, timings, now);
  if (build.cancel !== null) return { do: 'end', status: 'cancelled', finding: describeCancel(build.cancel) };
  const unwantedAt = build.spec.detached ? Infinity : Math.max(build.wantedUntil, memory.wantedUntil);
  if (now >= unwantedAt && memory.run?.stage !== 'ended') return { do: 'abandon' };
  const next =
    memory.slot === undefined ? decideWaiting(build, memory, timings, now) : decideTurn(build, memory, timings, now);
  const left = unwantedAt - now;
  return 'again' in next && left > 0 ? { ...next, again: Math.min(next.again ?? Infinity, left) } : next;
}

function decideEnded(
  endedAt: number,
  { slot, log, run }: BuildMemory,
  { retention }: BuildTimings,
  now: number,
): BuildDecision {
  // Another controller may have been faster; readers here get their lines first.
  if (!log.ended && run !== undefined) {
    const isBehind = run.stage !== 'ended' && now < endedAt + BEHIND_MS;
    const isRead = run.stage === 'ended' && log.followed && !log.drained;
    if (isBehind || isRead) return { do: 'drain', again: DRAIN_AGAIN_MS };
  }
  if (slot !== undefined || (run !== undefined && run.stage !== 'ended')) return { do: 'clean-up' };
  const left = endedAt + retention - now;
  return left > 0 ? { do: 'nothing', again: left } : { do: 'forget' };
}

function decideWaiting(
  { spec, suspended, finished }: ObservedBuild,
  { kueue, trouble }: BuildMemory,
  { queued }: BuildTimings,
  now: number,
): BuildDecision {
  // Released by somebody: it takes a place, whatever the bounds say.
  if (kueue || !suspended || finished !== null) return { do: 'take-slot' };
  const left = spec.createdAt + queued - now;
  if (left > 0) return { do: 'wait', again: left };
  const message = `The build waited ${minutes(queued)} for its turn.${trouble === null ? '' : ` ${trouble.message}`}`;
  return fail({ reason: trouble?.reason ?? 'QueueTimeout', message });
}

function decideTurn(build: ObservedBuild, memory: BuildMemory, timings: BuildTimings, now: number): BuildDecision {
  const { run, slot, kueue } = memory;
  if (run?.stage === 'ended') return decideRunEnded(run, memory);
  const since = slot?.at ?? now;
  if (kueue && build.suspended) return decideKueue(build, timings, now);
  const left = since + timings.total - now;
  if (left <= 0)
    return fail({ reason: 'DeadlineExceeded', message: `The build took longer than ${minutes(timings.total)}.` });
  if (memory.isUnknown === true) return { do: 'follow', phase: 'starting', again: left };
  if (run === undefined) return decideStart(since + timings.scheduling - now, left, timings);
  const next =
    run.stage === 'running' ? decideRunning(memory, timings, now) : decideStarting(run, memory, timings, now);
  return next.do === 'follow' ? { ...next, again: Math.min(next.again, left) } : next;
}

function decideStart(patience: number, left: number, { scheduling }: BuildTimings): BuildDecision {
  if (patience > 0) return { do: 'start', again: Math.min(left, patience) };
  return fail({
    reason: 'SchedulingTimeout',
    message: `The build could not be started within ${minutes(scheduling)}.`,
  });
}

/** Kueue has the queue; what Labwright prepares for the build is prepared meanwhile. */
function decideKueue({ spec }: ObservedBuild, { queued }: BuildTimings, now: number): BuildDecision {
  const left = spec.createdAt + queued - now;
  if (left > 0) return { do: 'start', again: left };
  return fail({ reason: 'QueueTimeout', message: `The build waited ${minutes(queued)} for its turn.` });
}

function decideStarting(
  { stage }: ObservedRun,
  { trouble, stageSince, hasElsewhere = false }: BuildMemory,
  { scheduling, imagePull }: BuildTimings,
  now: number,
): BuildDecision {
  const [phase, patience, late] =
    stage === 'waiting'
      ? (['scheduling', scheduling, { reason: 'SchedulingTimeout', message: 'The build found no machine' }] as const)
      : ([
          'pulling',
          imagePull,
          { reason: 'PullTimeout', message: 'The container of the build did not start' },
        ] as const);
  const left = stageSince + patience - now;
  if (left <= 0) {
    const message = `${late.message} within ${minutes(patience)}.`;
    return fail(trouble === null ? { ...late, message } : { ...trouble, message: `${message} ${trouble.message}` });
  }
  if (trouble === null) return { do: 'follow', phase, again: left };
  const grace = trouble.afterMs - trouble.forMs;
  if (grace > 0) return { do: 'follow', phase, again: Math.min(left, grace) };
  // The rules of its place are against it, and those of another may not be.
  const isRefused = stage === 'waiting' && (trouble.reason === 'AdmissionDenied' || trouble.reason === 'QuotaExceeded');
  return isRefused && hasElsewhere ? { do: 'move-on', finding: trouble } : fail(trouble);
}

function decideRunning(
  { log, run, stageSince }: BuildMemory,
  { noOutput, push }: BuildTimings,
  now: number,
): BuildDecision {
  const heardAt = Math.max(log.lastOutputAt ?? 0, run?.startedAt ?? 0, stageSince);
  const silence = heardAt + noOutput - now;
  if (silence <= 0) return fail({ reason: 'NoOutput', message: `The build said nothing for ${minutes(noOutput)}.` });
  if (log.pushingSince === null) return { do: 'follow', phase: phaseOfLog(log.phase), again: silence };
  const left = log.pushingSince + push - now;
  if (left <= 0) return fail({ reason: 'PushTimeout', message: `The image was not pushed within ${minutes(push)}.` });
  return { do: 'follow', phase: 'pushing', again: Math.min(left, silence) };
}

/** Every line is read before anything is said of the end. */
function decideRunEnded({ end, hasLog }: ObservedRun, { log }: BuildMemory): BuildDecision {
  if (hasLog && !log.drained) return { do: 'drain', again: DRAIN_AGAIN_MS };
  if (end === null) return { do: 'confirm' };
  if (end.reason !== 'BuildFailed') return fail(end);
  const pushing = log.phase === 'pushing';
  return fail({ reason: pushing ? 'PushFailed' : 'BuildFailed', message: log.failure ?? end.message });
}

/** repo2docker's own word; in what it says when it gives up it has begun to build at least. */
export function phaseOfLog(word: string | null): BuildPhase {
  if (word === null || word === 'fetching') return 'fetching';
  return word === 'pushing' ? 'pushing' : 'building';
}

/** Everybody who has the id reads it, so that it does not say who it was: that is in the audit log. */
function describeCancel({ reason }: NonNullable<ObservedBuild['cancel']>): Finding {
  return reason === 'Abandoned'
    ? { reason, message: 'Nobody waited for the build any more.' }
    : { reason: 'Cancelled', message: 'The build was cancelled.' };
}

function fail({ reason, message }: Finding): BuildDecision {
  return { do: 'end', status: 'failed', finding: { reason, message } };
}

function minutes(ms: number): string {
  const [amount, unit] = ms >= 120_000 ? [Math.round(ms / 60_000), 'minutes'] : [Math.round(ms / 1000), 'seconds'];
  return `${String(amount)} ${unit}`;
}
