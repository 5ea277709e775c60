import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildPhase } from '../../../domain/build/build.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import type { ObservedRun } from '../executors/executor.ts';
import { phaseOfLog } from './decide-build.ts';

/** What every replica knows of a build from its own caches. */
export interface BuildView {
  readonly slot: BuildSlot | undefined;
  readonly run: ObservedRun | undefined;
  /** Its executor has not been heard yet: it may run there or not. */
  readonly isUnknown: boolean;
  /** In the queue, from 1; null when it is not queued. */
  readonly position: number | null;
  /** Why nothing can be started at the moment, as half a sentence; undefined where something can. */
  readonly outage: string | undefined;
  /** Its log has been read to its end. */
  readonly isDrained: boolean;
  /** repo2docker's word for what it is doing. */
  readonly logPhase: string | null;
  readonly kueue: boolean;
}

/** Where a build stands, for its readers. */
export interface BuildNotice {
  readonly phase: BuildPhase;
  readonly message: string;
  readonly position?: number;
}

const SENTENCES: Readonly<Partial<Record<BuildPhase, string>>> = {
  scheduling: 'Waiting to be scheduled',
  pulling: 'Pulling images',
  fetching: 'Fetching the repository',
  building: 'Building the image',
  pushing: 'Pushing the image',
};

/**
 * What readers are told of a build that goes on: the same on every replica, since it follows from what all of them see.
 * Undefined when there is nothing new to say.
 */
export function describeBuild(build: ObservedBuild, view: BuildView): BuildNotice | undefined {
  const { slot, run, position, logPhase } = view;
  if (build.result !== null || build.cancel !== null || build.terminating) return undefined;
  if (run?.stage === 'ended') return describeEnd(build, run, view);
  if (run !== undefined && (slot !== undefined || !build.suspended)) return describeRun(run, logPhase);
  if (slot !== undefined) return describeStart(build, view);
  if (position === null) return undefined;
  const why = view.outage === undefined ? '' : ` No builds can be started at the moment: ${view.outage}.`;
  return { phase: 'queued', message: `Queued (position ${String(position)}).${why}`, position };
}

function describeStart(build: ObservedBuild, { isUnknown, kueue }: BuildView): BuildNotice {
  if (kueue && build.suspended) return { phase: 'queued', message: 'Waiting for Kueue to admit it.' };
  if (isUnknown) return { phase: 'starting', message: 'Waiting for the build pod to be created.' };
  return { phase: 'starting', message: 'Admitted; starting the build pod.' };
}

function describeRun({ stage, trouble, node }: ObservedRun, logPhase: string | null): BuildNotice {
  const phase = stage === 'waiting' ? 'scheduling' : stage === 'preparing' ? 'pulling' : phaseOfLog(logPhase);
  if (trouble !== null) return { phase, message: trouble.message };
  return { phase, message: `${SENTENCES[phase] ?? 'The build goes on'}${node === null ? '' : ` on ${node}`}.` };
}

/** A build that has ended well is ready when the registry says so, and that is asked when its log is read. */
function describeEnd(build: ObservedBuild, run: ObservedRun, { isDrained }: BuildView): BuildNotice | undefined {
  if (run.end !== null || (run.hasLog && !isDrained)) return undefined;
  return { phase: 'confirming', message: build.progress?.message ?? 'Asking the registry for the image.' };
}
