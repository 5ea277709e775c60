import { describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import { type BuildView, describeBuild } from '../../../../src/reconcile/builds/controller/describe-build.ts';
import type { ObservedRun } from '../../../../src/reconcile/builds/executors/executor.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const SLOT = { id: ID, uid: 'u', user: 'ada', repository: 'r', executor: 'cluster', at: 0 };

function aBuild(change: Partial<ObservedBuild> = {}): ObservedBuild {
  const none = { result: null, cancel: null, terminating: false, suspended: false };
  return { spec: { id: ID }, ...none, ...change } as ObservedBuild;
}

function aView(change: Partial<BuildView> = {}): BuildView {
  const none = { slot: undefined, run: undefined, isUnknown: false, position: null, outage: undefined };
  return { ...none, isDrained: false, logPhase: null, kueue: false, ...change };
}

function aRun(change: Partial<ObservedRun> = {}): ObservedRun {
  const none = { trouble: null, end: null, hasLog: true, node: 'node-1', startedAt: null, endedAt: null };
  return { id: ID, createdAt: 0, stage: 'running', ...none, ...change };
}

const NO_NODES = { reason: 'Unschedulable', message: 'There is no node for it.', afterMs: 0 } as const;

describe('readers are told of a build that it', () => {
  it.each<[string, ObservedBuild, BuildView, object | undefined]>([
    [
      'is queued',
      aBuild({ suspended: true }),
      aView({ position: 3 }),
      { phase: 'queued', position: 3, message: 'Queued (position 3).' },
    ],
    [
      'is queued and nothing can be started',
      aBuild({ suspended: true }),
      aView({ position: 1, outage: 'the engine cannot be reached' }),
      { message: 'Queued (position 1). No builds can be started at the moment: the engine cannot be reached.' },
    ],
    ['is not in the queue yet', aBuild({ suspended: true }), aView(), undefined],
    [
      'is admitted',
      aBuild({ suspended: true }),
      aView({ slot: SLOT }),
      { phase: 'starting', message: 'Admitted; starting the build pod.' },
    ],
    [
      'may run where nothing is heard',
      aBuild(),
      aView({ slot: SLOT, isUnknown: true }),
      { message: 'Waiting for the build pod to be created.' },
    ],
    [
      'waits for Kueue',
      aBuild({ suspended: true }),
      aView({ slot: SLOT, kueue: true }),
      { phase: 'queued', message: 'Waiting for Kueue to admit it.' },
    ],
    [
      'waits for a node',
      aBuild(),
      aView({ slot: SLOT, run: aRun({ stage: 'waiting', node: null }) }),
      { phase: 'scheduling', message: 'Waiting to be scheduled.' },
    ],
    [
      'finds no node',
      aBuild(),
      aView({ slot: SLOT, run: aRun({ stage: 'waiting', trouble: NO_NODES }) }),
      { phase: 'scheduling', message: NO_NODES.message },
    ],
    [
      'is prepared',
      aBuild(),
      aView({ slot: SLOT, run: aRun({ stage: 'preparing' }) }),
      { phase: 'pulling', message: 'Pulling images on node-1.' },
    ],
    [
      'runs',
      aBuild(),
      aView({ slot: SLOT, run: aRun(), logPhase: 'building' }),
      { phase: 'building', message: 'Building the image on node-1.' },
    ],
    [
      'has ended, and its log is not read yet',
      aBuild(),
      aView({ slot: SLOT, run: aRun({ stage: 'ended' }) }),
      undefined,
    ],
    [
      'is confirmed',
      aBuild(),
      aView({ slot: SLOT, run: aRun({ stage: 'ended' }), isDrained: true }),
      { phase: 'confirming', message: 'Asking the registry for the image.' },
    ],
    [
      'is confirmed by whoever leads, and the registry does not answer',
      aBuild({ progress: { message: 'The registry does not answer. The registry is asked again.' } }),
      aView({ slot: SLOT, run: aRun({ stage: 'ended' }), isDrained: true }),
      { message: 'The registry does not answer. The registry is asked again.' },
    ],
    [
      'is to end',
      aBuild({ cancel: { by: 'ada', reason: 'Cancelled' } }),
      aView({ slot: SLOT, run: aRun() }),
      undefined,
    ],
  ])('%s', (_what, build, view, expected) => {
    const notice = describeBuild(build, view);
    if (expected === undefined) expect(notice).toBeUndefined();
    else expect(notice).toMatchObject(expected);
  });
});
