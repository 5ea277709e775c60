import type { ObservedBuild } from '../../domain/build/build-intent.ts';
import { pinned } from '../../domain/image/image-reference.ts';
import type { BuildPhase, BuildResult, BuildSpec, BuildState } from '../../domain/build/build.ts';
import type { BuildSlot } from '../../domain/build/build-queue.ts';
import type { Finding } from '../../domain/lab/reasons.ts';
import { phaseOfLog } from './controller/decide-build.ts';
import type { ObservedRun } from './executors/executor.ts';

/** What is known of a build besides its Job. */
export interface BuildFacts {
  readonly slot: BuildSlot | undefined;
  readonly run: ObservedRun | undefined;
  readonly position: number | null;
  readonly trouble: Finding | null;
  /** repo2docker's word for what it is doing. */
  readonly logPhase: string | null;
}

const NOTHING = { reason: null, message: null, position: null, image: null, executor: null, node: null };

/** The state of a build that the cluster knows of. */
export function buildState({ spec, result, suspended }: ObservedBuild, facts: BuildFacts): BuildState {
  const { slot, run, position, trouble, logPhase } = facts;
  if (result !== null) return endedState(spec, result);
  return {
    ...NOTHING,
    spec,
    phase:
      slot === undefined || (suspended && run === undefined && position !== null) ? 'queued' : phaseOf(run, logPhase),
    reason: trouble?.reason ?? null,
    message: trouble?.message ?? null,
    position,
    cached: false,
    executor: slot?.executor ?? null,
    node: run?.node ?? null,
    startedAt: run?.startedAt ?? null,
    finishedAt: null,
  };
}

/** The state of a build that is over. */
export function endedState(spec: BuildSpec, result: BuildResult, cached = result.cached === true): BuildState {
  const finding = result.status === 'ready' ? NOTHING : { reason: result.reason, message: result.message };
  return {
    ...NOTHING,
    spec,
    phase: result.status,
    reason: finding.reason,
    message: finding.message,
    image: result.status === 'ready' ? pinned(spec.image, result.digest) : null,
    cached,
    executor: result.ran?.executor ?? null,
    node: result.ran?.node ?? null,
    startedAt: result.ran?.startedAt ?? null,
    finishedAt: result.at,
  };
}

function phaseOf(run: ObservedRun | undefined, logPhase: string | null): BuildPhase {
  switch (run?.stage) {
    case undefined:
      return 'starting';
    case 'waiting':
      return 'scheduling';
    case 'preparing':
      return 'pulling';
    case 'running':
      return phaseOfLog(logPhase);
    case 'ended':
      return run.end === null ? 'confirming' : 'building';
  }
}
