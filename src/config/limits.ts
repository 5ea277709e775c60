import { z } from 'zod';
import { memory, positiveDuration } from './units.ts';

/** Requests of one caller: so many a second on average, so many at once after a quiet time. */
function rate(perSecond: number, burst: number) {
  return z
    .strictObject({
      perSecond: z.number().positive().max(1_000_000).default(perSecond).describe('Requests per second, on average.'),
      burst: z.int().min(1).max(1_000_000).default(burst).describe('Requests at once after a quiet time.'),
    })
    .prefault({});
}

/**
 * What one caller may take, and what one request may weigh.
 *
 * The defaults of `hub` leave room for a hub that asks after 5,000 labs at once when it starts, and has 1,000 spawns at
 * the same time on top of that. Those of `user` are far more than a browser or a bot needs, and stop a loop.
 */
export const limits = z.strictObject({
  user: rate(20, 200).describe('Each user.'),
  hub: rate(1000, 10_000).describe('Each hub.'),
  admin: rate(1000, 10_000).describe('Each administrator.'),
  anonymous: rate(50, 500).describe(
    'Each address, without a credential: documents, paths that do not exist. `/healthz` and `/readyz` are never limited.',
  ),
  failedAuthentication: rate(5, 100).describe(
    'Credentials of each address that were refused. Beyond it only credentials are looked at that were good a moment ago.',
  ),
  labsPerUser: z
    .int()
    .min(1)
    .default(100)
    .describe('Labs that one user has at once, with all named servers and over all replicas.'),
  streamsPerUser: z.int().min(1).default(20).describe('Event streams that one user has open at once.'),
  bodySize: memory
    .default(2 ** 20)
    .describe('Longest body of a request. The environment of a lab takes half a mebibyte at most.'),
  headerSize: memory.default(2 ** 14).describe('Longest header section of a request, first line included.'),
  headerCount: z.int().min(10).default(100).describe('Most header lines of a request.'),
  urlLength: z.int().min(256).default(8192).describe('Longest path and query of a request, in bytes.'),
  headersTimeout: positiveDuration.default(20_000).describe('For the header section of a request to arrive.'),
  requestTimeout: positiveDuration.default(60_000).describe('For the whole of a request to arrive.'),
  connections: z.int().min(1).default(10_000).describe('Connections at once; more are closed as they come.'),
});

export type Limits = Readonly<z.output<typeof limits>>;

/** What holds where nothing is configured. */
export const DEFAULT_LIMITS: Limits = limits.parse({});
