import type { RequestLog, KubeRequest } from '../../support/cluster-requests.ts';
import { until } from '../../reconcile/support/until.ts';

/** The next process leads three seconds after this one was killed, and not fifteen. */
export const LEADERSHIP = { leaseDuration: '3s', renewDeadline: '2s', retryPeriod: '400ms' };

/** Whether a call belongs to the election of a leader, which goes on beside everything else. */
export function isOfElection({ resource }: KubeRequest): boolean {
  return resource === 'leases';
}

/** Resolves when so many more calls have been made, less those of the election. */
export async function moreCalls(requests: RequestLog, calls: number): Promise<void> {
  const count = () => requests.all.filter((request) => !isOfElection(request)).length;
  const goal = count() + calls;
  await until(`${calls} calls were made`, () => count() >= goal);
}
