import fc from 'fast-check';
import type { ObservedLab } from '../../../src/domain/lab/observed.ts';
import type { ObservedContainer, ObservedPod } from '../../../src/domain/lab/pod.ts';
import type { LabMemory } from '../../../src/reconcile/labs/decide.ts';
import { aContainer, anIntent, aNamespace, aPod, CREATED, SPAWN } from './observed.ts';

const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const orUndefined = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const anyTime = fc.integer({ min: CREATED - 1_000_000, max: CREATED + 1_000_000 });

const anyContainer: fc.Arbitrary<ObservedContainer> = fc
  .record({
    name: fc.constantFrom('notebook', 'home'),
    init: fc.boolean(),
    waiting: orNull(
      fc.record({
        reason: fc.constantFrom('ErrImagePull', 'CrashLoopBackOff', 'ContainerCreating', 'CreateContainerError', ''),
        message: fc.constantFrom('', 'not found', 'i/o timeout'),
      }),
    ),
    terminated: orNull(
      fc.record({
        reason: fc.constantFrom('OOMKilled', 'Error', 'Completed', ''),
        exitCode: fc.constantFrom(0, 1, 137),
        message: fc.constant(''),
        finishedAt: orNull(anyTime),
      }),
    ),
    runningSince: orNull(anyTime),
  })
  .map(aContainer);

const anyPod: fc.Arbitrary<ObservedPod> = fc
  .record({
    spawnId: fc.constantFrom(SPAWN, SPAWN, SPAWN, 'earlier'),
    phase: fc.constantFrom<ObservedPod['phase']>('Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'),
    ready: fc.boolean(),
    started: fc.boolean(),
    terminating: fc.boolean(),
    node: orNull(fc.constant('node-1')),
    podIp: orNull(fc.constantFrom('10.88.0.7', 'fd00::7')),
    serviceIp: orNull(fc.constant('10.96.0.7')),
    reason: orNull(fc.constantFrom('Evicted', 'NodeLost', 'DeadlineExceeded', 'Other')),
    unschedulable: orNull(fc.constant('0/3 nodes')),
    disruption: orNull(fc.constantFrom('PreemptionByScheduler', 'EvictionByEvictionAPI', 'Other')),
    containers: fc.array(anyContainer, { maxLength: 3 }),
  })
  .map(aPod);

/** Anything the cluster could say about a lab, asked for or not. */
export const anyLab: fc.Arbitrary<ObservedLab> = fc.record({
  intent: orUndefined(
    fc
      .record({
        deleting: fc.boolean(),
        failure: orNull(
          fc.record({
            reason: fc.constantFrom('Error' as const, 'Exited' as const),
            message: fc.constant('It ended.'),
            at: anyTime,
            status: fc.constantFrom('failed' as const, 'terminated' as const),
          }),
        ),
        cleaned: fc.boolean(),
      })
      .map(anIntent),
  ),
  namespace: orUndefined(
    fc.record({ terminating: fc.boolean(), keptSince: orNull(anyTime), permanent: fc.boolean() }).map(aNamespace),
  ),
  pod: orUndefined(anyPod),
});

/** Anything a process could remember of it. */
export const anyMemory: fc.Arbitrary<Omit<LabMemory, 'left'>> = fc.record({
  podSeen: fc.boolean(),
  trouble: orNull(
    fc.record({
      reason: fc.constantFrom('Unschedulable' as const, 'ImagePullError' as const, 'VolumeMountFailed' as const),
      message: fc.constant('It waits.'),
      afterMs: fc.constantFrom(0, 15_000, Number.POSITIVE_INFINITY),
      forMs: fc.integer({ min: 0, max: 1_000_000 }),
    }),
  ),
});
