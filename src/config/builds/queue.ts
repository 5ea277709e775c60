import { z } from 'zod';
import { dnsLabel, objectName } from '../kubernetes.ts';
import { absolutePath } from '../absolute-path.ts';
import { duration, memory, positiveDuration } from '../units.ts';
import { backend } from './builder.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** How many builds at once. */
export const queue = z.strictObject({
  running: z.int().min(1).max(1000).default(10).describe('Builds at once, over all executors.'),
  perUser: z.int().min(1).default(3).describe('Builds at once of one user.'),
  perRepository: z.int().min(1).default(2).describe('Builds at once of one repository.'),
  waiting: z.int().min(0).max(10_000).default(200).describe('Builds that may wait; more are refused with 429.'),
  waitingPerUser: z.int().min(1).default(20).describe('Builds of one user that may wait.'),
  kueue: z
    .strictObject({ queueName: objectName.describe('The LocalQueue in the namespace of builds.') })
    .optional()
    .describe('Leave it to Kueue when a build starts; the bounds on what runs are then its business.'),
});

/** How long each stage of a build may take. */
export const deadlines = z.strictObject({
  queued: positiveDuration.default(60 * MINUTE).describe('Waiting in the queue.'),
  scheduling: positiveDuration.default(10 * MINUTE).describe('Finding a node.'),
  imagePull: positiveDuration.default(5 * MINUTE).describe('From the node to the first container: images and volumes.'),
  noOutput: positiveDuration.default(20 * MINUTE).describe('Without a line in the log.'),
  push: positiveDuration.default(20 * MINUTE).describe('Pushing.'),
  total: positiveDuration
    .default(60 * MINUTE)
    .describe('All of it, from its admission on; kept by Kubernetes as well.'),
});

/** What is kept of finished builds. */
export const logs = z.strictObject({
  directory: absolutePath
    .optional()
    .describe(
      'Where logs and results of finished builds are kept: a mounted volume, also one of an object store. Absent: as long ' +
        'as the Job is there.',
    ),
  size: memory.default(16 * 2 ** 20).describe('Most that is kept of one log: its beginning and its end.'),
  memory: memory
    .default(64 * 2 ** 20)
    .describe('Most that all logs in memory hold together; the longest lose their middle first.'),
  totalSize: memory.default(2 ** 30).describe('Most that is kept of all; the oldest go first.'),
  retention: duration.default(14 * 24 * 60 * MINUTE).describe('How long it is kept.'),
});

const name = dnsLabel(40).describe('Its name, in answers and logs.');
const capacity = z.int().min(1).optional().describe('Builds at once there; only the bound of the queue when absent.');

/** A place where builds can run. */
export const executor = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('cluster').describe('The cluster Labwright works in.'), name, capacity }),
    z.strictObject({
      kind: z.literal('kubernetes').describe('Another cluster.'),
      name,
      capacity,
      kubeconfig: absolutePath.describe('Its kubeconfig file.'),
      context: z.string().min(1).optional().describe('Context of the kubeconfig; its current one when absent.'),
      namespace: dnsLabel().default('labwright-builds').describe('Namespace of builds there.'),
      backend: backend.optional().describe('Backend there; that of the builds when absent.'),
    }),
    z.strictObject({
      kind: z.literal('docker').describe('A Docker-compatible engine, without Kubernetes.'),
      name,
      capacity,
      address: z
        .string()
        .regex(/^(?:unix:\/\/\/[^\s]+|tcp:\/\/[^/\s]+:\d{1,5})$/, {
          error: 'expected unix:///path or tcp://host:port',
        })
        .describe('Where it listens.'),
      tls: absolutePath
        .optional()
        .describe('Directory with `ca.pem`, `cert.pem` and `key.pem`; without it, tcp is not encrypted.'),
      backend: backend.optional().describe('Backend there; that of the builds when absent.'),
    }),
  ])
  .meta({ title: 'executor' });
