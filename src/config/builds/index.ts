import { z } from 'zod';
import { crossCheck, uniqueBy } from '../cross-check.ts';
import { absolutePath } from '../absolute-path.ts';
import { cidr, dnsLabel, egressRule } from '../kubernetes.ts';
import { duration, positiveDuration } from '../units.ts';
import { backend, builder, pod } from './builder.ts';
import { deadlines, executor, logs, queue } from './queue.ts';
import { hasNamespace, naming, registry } from './registry.ts';
import { repositories } from './repositories.ts';

const MINUTE = 60_000;

const networkPolicy = z.strictObject({
  enabled: z.boolean().default(true).describe('Make a NetworkPolicy for the namespace of builds.'),
  allowed: z
    .array(cidr)
    .default([])
    .describe('Address blocks in private networks that builds may reach: the registry, a mirror, a private Git host.'),
  egress: z.array(egressRule).default([]).describe('Further rules of what builds may reach, as in a NetworkPolicy.'),
});

/** Building images from repositories. */
export const builds = z
  .strictObject({
    namespace: dnsLabel()
      .optional()
      .describe('Namespace of builds; that of the controller with `-builds` when absent.'),
    registry: registry.describe('Where images go.'),
    certificateAuthorities: absolutePath
      .optional()
      .describe(
        'File with certificate authorities in PEM, for Git hosts and registries of the site: trusted by Labwright and by builds besides those ' +
          'that everybody trusts; docs/builds.md says for what.',
      ),
    naming: naming.prefault({}).describe('What images are called.'),
    repositories: repositories.prefault({}).describe('What may be built.'),
    builder: builder.describe('What builds an image: repo2docker, in a container.'),
    backend: backend
      .prefault({ kind: 'buildah' })
      .describe('What turns a Dockerfile into an image; docs/builds.md says what each costs in privilege.'),
    pod: pod.prefault({}).describe('Where and how build pods run.'),
    podSecurity: z
      .enum(['restricted', 'baseline', 'privileged'])
      .optional()
      .describe('Pod Security level of the namespace of builds; the strictest that the backend allows when absent.'),
    networkPolicy: networkPolicy.prefault({}).describe('What build pods may reach.'),
    queue: queue.prefault({}).describe('How many at once.'),
    deadlines: deadlines.prefault({}).describe('How long each stage may take.'),
    logs: logs.prefault({}).describe('What is kept of finished builds.'),
    executors: z
      .array(executor)
      .min(1)
      .check(uniqueBy('name'))
      .default([{ kind: 'cluster', name: 'cluster' }])
      .describe('Where builds run: tried in this order.'),
    abandonAfter: duration
      .default(5 * MINUTE)
      .describe('A build that nobody waits for so long is cancelled, unless it was asked to go on.'),
    retention: positiveDuration.default(60 * MINUTE).describe('How long the Job of a finished build stays.'),
  })
  .check(
    crossCheck(['registry', 'naming'], ({ registry, naming }, report) => {
      if (registry.host === 'docker.io' && !hasNamespace(naming)) {
        report(
          ['naming', 'prefix'],
          'expected the account of Docker Hub and a slash, such as ada/: it keeps images of accounts only',
        );
      }
    }),
  )
  .check(
    crossCheck(['queue', 'executors'], ({ queue, executors }, report) => {
      if (queue.kueue !== undefined && executors.some(({ kind }) => kind !== 'cluster')) {
        report(['queue', 'kueue'], 'expected no executor but this cluster, since Kueue knows of no other');
      }
      if (executors.filter(({ kind }) => kind === 'cluster').length > 1) {
        report(['executors'], 'expected one executor of kind cluster at most: there is one such cluster');
      }
    }),
  );
