import type { EndingFacts, PodFacts } from './pod.ts';
import type { Finding } from './reasons.ts';

/**
 * How long after its grace period a pod may still be there, in milliseconds: the kubelet takes its volumes away, and the time at
 * which the pod should be gone was written by another clock.
 */
const SLACK_MS = 30_000;

type Ending = Omit<EndingFacts, 'terminating'> & Pick<PodFacts, 'node'>;

/** When a pod that is being deleted counts as stuck, in milliseconds since the epoch; undefined for one that is not deleted. */
export function stuckAt({ goneBy }: Ending): number | undefined {
  return goneBy === null ? undefined : goneBy + SLACK_MS;
}

/**
 * Why a pod that is to go does not; undefined while it may still be ending.
 *
 * @param which whose pod, in the sentence: `the lab`, `an earlier lab`
 * @param now milliseconds since the epoch
 */
export function stuckPod(pod: Ending, which: string, now: number): Finding | undefined {
  const at = stuckAt(pod);
  if (at === undefined || now < at) return undefined;
  const [finalizer] = pod.finalizers;
  const why =
    finalizer === undefined
      ? `its machine${pod.node === null ? '' : ` (${pod.node})`} does not confirm that it has ended, and may be lost`
      : `the finalizer "${finalizer}" holds it`;
  return { reason: 'PodStuck', message: `The pod of ${which} does not go: ${why}. Tell an administrator.` };
}
