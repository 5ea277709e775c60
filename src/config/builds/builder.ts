import type { V1Container, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { z } from 'zod';
import { affinity, annotations, asInKubernetes, dnsLabel, labels, objectName, toleration } from '../kubernetes.ts';
import { absolutePath } from '../absolute-path.ts';
import { imageReference } from '../lab-pieces.ts';
import { cpu, memory } from '../units.ts';

const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'expected the name of an environment variable' })
  .refine((name) => !name.startsWith('LABWRIGHT_'), { error: 'expected a name that does not begin with LABWRIGHT_' });

/** What repo2docker does. Everything in here changes the image, and so the key of a build. */
export const builder = z.strictObject({
  image: imageReference.describe('Image with repo2docker and the engine plugin of Labwright; see deploy/builder.'),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent').describe('When to pull it.'),
  imagePullSecrets: z.array(objectName).default([]).describe('Secrets in the namespace of builds to pull it with.'),
  userName: dnsLabel(32).default('jovyan').describe('Name of the user in built images.'),
  userId: z.int().min(1).max(65_533).default(1000).describe('Id of the user in built images.'),
  repositoryDirectory: absolutePath
    .optional()
    .describe(
      'Where the repository is in built images (`--target-repo-dir`); the home directory when absent. A volume that is ' +
        'mounted at the home directory hides what is there: /srv/repo is then the better place.',
    ),
  appendix: z.string().default('').describe('Dockerfile instructions that every build ends with.'),
  buildArgs: z.record(variable, z.string()).default({}).describe('Build arguments.'),
  labels: z.record(z.string().min(1), z.string()).default({}).describe('Labels of built images.'),
  cacheFrom: z.array(imageReference).default([]).describe('Images whose layers may be used again.'),
  extraArgs: z.array(z.string()).default([]).describe('Further arguments of repo2docker.'),
});

/** Where and how build pods run. Nothing in here changes the image. */
export const pod = z.strictObject({
  cpu: cpu.default(2).describe('Limit of CPU of a build, with everything that runs in it.'),
  memory: memory.default(4 * 2 ** 30).describe('Limit of memory.'),
  ephemeralStorage: memory.default(20 * 2 ** 30).describe('Limit of disk: layers, and what they are made from.'),
  cpuRequest: cpu.default(0.5).describe('CPU kept free on the node.'),
  memoryRequest: memory.default(2 ** 30).describe('Memory kept free on the node.'),
  ephemeralStorageRequest: memory.default(2 * 2 ** 30).describe('Disk kept free on the node.'),
  env: z
    .record(variable, z.string())
    .default({})
    .describe(
      'Environment of repo2docker, such as that of a proxy. Where registry, Git and engine are is said by Labwright, whatever is set here.',
    ),
  nodeSelector: labels.default({}).describe('Labels a node must have.'),
  tolerations: z
    .array(toleration)
    .default([])
    .describe(
      'Tolerations, as in a Pod. A build stays for 60 s on a machine that does not answer unless one for `node.kubernetes.io/unreachable` or ' +
        '`node.kubernetes.io/not-ready` (`NoExecute`) says otherwise.',
    ),
  affinity: affinity.optional().describe('Affinity, as in a Pod; replaces that of `placement`.'),
  placement: z
    .enum(['spread', 'sticky'])
    .default('spread')
    .describe(
      '`spread`: on nodes with few builds. `sticky`: builds of one repository on one node if possible, where a backend ' +
        'has layers of earlier builds there.',
    ),
  priorityClassName: objectName.optional().describe('Priority class.'),
  runtimeClassName: objectName.optional().describe('Runtime class.'),
  schedulerName: objectName.optional().describe('Scheduler.'),
  volumes: z.array(asInKubernetes<V1Volume>('Volume')).default([]).describe('Further volumes, as in a Pod.'),
  volumeMounts: z
    .array(
      asInKubernetes<V1VolumeMount>('VolumeMount').refine(
        ({ mountPath }: Partial<V1VolumeMount>) => mountPath?.startsWith('/') !== false,
        {
          path: ['mountPath'],
          error: 'expected an absolute path',
        },
      ),
    )
    .default([])
    .describe('Where the build sees them, as in a Pod.'),
  sidecars: z
    .array(asInKubernetes<V1Container>('Container'))
    .default([])
    .describe('Containers that run beside the build, as in a Pod.'),
  labels: labels.default({}).describe('Labels on the Job and its pod.'),
  annotations: annotations.default({}).describe('Annotations on the Job and its pod.'),
});

/** What turns a Dockerfile into an image. */
export const backend = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z
        .literal('buildah')
        .describe('In the build pod itself, in a user namespace of its own: nothing of the host.'),
      unconfined: z
        .boolean()
        .default(false)
        .describe(
          'For nodes whose seccomp or AppArmor default forbids user namespaces and mounts inside the pod: run without ' +
            'these two. The namespace of builds then has to be `privileged`.',
        ),
    }),
    z.strictObject({
      kind: z.literal('buildkit').describe('A BuildKit daemon: elsewhere, or rootless beside the build.'),
      address: z
        .string()
        .regex(/^tcp:\/\/[^/\s]+:\d{1,5}$/, { error: 'expected an address such as tcp://buildkitd.example:1234' })
        .optional()
        .describe('Where it listens; absent for a rootless sidecar.'),
      tls: objectName
        .optional()
        .describe('Secret in the namespace of builds with `ca.pem`, `cert.pem` and `key.pem` for the address.'),
      image: imageReference.default('docker.io/moby/buildkit:v0.25.1-rootless').describe('Image of the sidecar.'),
      cacheRepository: imageReference
        .optional()
        .describe('Repository in a registry that layers are kept in between builds, without a tag.'),
    }),
    z.strictObject({
      kind: z.literal('socket').describe('The Docker or Podman of the node: whoever can reach it is root there.'),
      path: absolutePath.default('/var/run/docker.sock').describe('The socket on the node.'),
    }),
  ])
  .meta({ title: 'backend' });
