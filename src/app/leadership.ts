import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import { LeaseElection } from '../reconcile/leader-lease.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';

/**
 * How this replica takes part in the election of a leader. It has a client of its own, so that a renewal does not wait for its turn
 * behind the calls of a thousand spawns.
 *
 * @param namespace the controller's own
 */
export function leaseElection(
  { leadership }: Config,
  connection: KubeConnection,
  namespace: string,
  logger: Logger,
): LeaseElection {
  return new LeaseElection({
    client: new KubeClient({ connection }),
    namespace,
    podName: process.env['POD_NAME'] ?? hostname(),
    logger,
    leaseDurationMs: leadership.leaseDuration,
    renewDeadlineMs: leadership.renewDeadline,
    retryPeriodMs: leadership.retryPeriod,
  });
}
