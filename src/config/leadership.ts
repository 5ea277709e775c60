import { z } from 'zod';
import { crossCheck } from './cross-check.ts';
import { positiveDuration } from './units.ts';

const SHORTEST_LEASE_MS = 3_000;
const LONGEST_LEASE_MS = 10 * 60_000;
const SHORTEST_RETRY_MS = 200;
/** Two renewals have to fit into the deadline, with some room. */
const RETRIES = 2.5;

/** How replicas agree on which of them reconciles; the times are those of client-go's leader election. */
export const leadership = z
  .strictObject({
    leaseDuration: positiveDuration
      .default(15_000)
      .describe('How long the other replicas wait for a leader that is not heard of any more; whole seconds.'),
    renewDeadline: positiveDuration
      .default(10_000)
      .describe('How long a leader goes on that cannot renew its lease: less than `leaseDuration`.'),
    retryPeriod: positiveDuration
      .default(2_000)
      .describe('Between two renewals, or two looks at the lease of another.'),
  })
  .check(
    crossCheck(
      ['leaseDuration', 'renewDeadline', 'retryPeriod'],
      ({ leaseDuration, renewDeadline, retryPeriod }, report) => {
        if (leaseDuration < SHORTEST_LEASE_MS || leaseDuration > LONGEST_LEASE_MS || leaseDuration % 1000 !== 0) {
          report(['leaseDuration'], 'expected whole seconds, from 3s to 10m');
        }
        // What has left before the deadline has this long to arrive.
        if (renewDeadline + 1000 > leaseDuration) {
          report(['renewDeadline'], 'expected at least a second less than leaseDuration');
        }
        if (retryPeriod < SHORTEST_RETRY_MS) report(['retryPeriod'], 'expected 200ms or more');
        if (retryPeriod * RETRIES > renewDeadline) {
          report(['retryPeriod'], 'expected at most two fifths of renewDeadline');
        }
      },
    ),
  )
  .prefault({});
