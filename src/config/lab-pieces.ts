import type { V1Container } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { z } from 'zod';
import { crossCheck } from './cross-check.ts';
import { LAB_CONTAINER } from '../domain/lab/pod.ts';
import { asInKubernetes, dnsLabel, objectName } from './kubernetes.ts';
import { personal } from './personal.ts';
import { AN_AMOUNT_OF_MEMORY, memory } from './units.ts';

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const SECRET_KEY = /^[A-Za-z0-9._-]{1,253}$/;
const IMAGE =
  /^(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?\/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[a-f0-9]{64})?$/;

/**
 * Environment variables that the hub, the spawn or the image decides. A configuration that set one would break every
 * lab or hide what was asked for, so it is refused; the list is the one Nublado's administrators know.
 */
const RESERVED_ENV = new Set([
  'ACCESS_TOKEN',
  'CONTAINER_SIZE',
  'CPU_GUARANTEE',
  'CPU_LIMIT',
  'DEBUG',
  'EXTERNAL_INSTANCE_URL',
  'IMAGE_DESCRIPTION',
  'IMAGE_DIGEST',
  'JPY_API_TOKEN',
  'JUPYTER_IMAGE',
  'JUPYTER_IMAGE_SPEC',
  'KUBERNETES_NODE_NAME',
  'MEM_GUARANTEE',
  'MEM_LIMIT',
  'NUBLADO_TOKEN',
  'RESET_USER_ENV',
]);

/** The name of an environment variable that a configuration may set. */
export const envName = z
  .string()
  .regex(ENV_NAME, { error: 'expected the name of an environment variable: letters, digits and _' })
  .refine((name) => !RESERVED_ENV.has(name) && !name.startsWith('JUPYTERHUB_'), {
    error: ({ input }) =>
      `expected a name that is not reserved: ${String(input)} is set for each lab by the hub or by Labwright`,
  });

/** A place in the lab's file system. */
export const absolutePath = z
  .string()
  .regex(/^\/(?!.*(?:^|\/)\.\.?(?:\/|$))[^\0:]+$/, {
    error: 'expected an absolute path without . and .. and without a colon',
  })
  .transform((path) => path.replaceAll(/\/+/g, '/').replace(/(?<=.)\/$/, ''))
  .meta({ title: 'path' });

/** What a server exports, which may be all that it has. */
const exportedPath = z
  .union([z.literal('/'), absolutePath], {
    error: ({ input }) =>
      `${input === undefined ? 'missing: ' : ''}expected an absolute path without . and .., such as /export`,
  })
  .meta({ title: 'path' });

/** An image as a container runs it. */
export const imageReference = z
  .string()
  .max(1024)
  .regex(IMAGE, { error: 'expected an image such as registry.example.com/name:tag' });

const accessModes = z.array(z.enum(['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'])).min(1);

const secretReference = z.strictObject({
  name: objectName.describe('Its name.'),
  namespace: dnsLabel().describe('Its namespace.'),
});

/** An image that a lab can be started from. */
export const taggedImage = imageReference.regex(/(?::[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[a-f0-9]{64})$/, {
  error: 'expected an image with a tag or a digest, such as registry.example.com/name:1',
});

const volumeSources = {
  hostPath: z
    .strictObject({
      path: absolutePath.describe('Path on the node.'),
      type: z
        .enum(['DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice'])
        .exactOptional()
        .describe('What must be there.'),
    })
    .exactOptional()
    .describe('A path of the node. Needs Pod Security `privileged`.'),
  nfs: z
    .strictObject({
      server: z
        .string()
        .regex(/^[^/\s]+$/, { error: 'expected a host without a path: what it exports is path' })
        .describe('Host of the NFS server.'),
      path: exportedPath.describe('Exported path.'),
      readOnly: z.boolean().exactOptional().describe('Mount the export read-only.'),
    })
    .exactOptional()
    .describe('An NFS export. Needs Pod Security `baseline`.'),
  persistentVolumeClaim: z
    .strictObject({
      accessModes: accessModes.default(['ReadWriteOnce']).describe('Access modes of the claim.'),
      storage: memory
        .exactOptional()
        .describe('Size of the claim; with a `claimName` alone the claim has to be there.'),
      claimName: personal(objectName)
        .exactOptional()
        .describe(
          'Name of the claim, with `lab.namespaces: shared`; that of the pod and of the volume when absent. One without the server in it, ' +
            'such as `claim-{username}`, is for all servers of a user.',
        ),
      storageClassName: objectName
        .exactOptional()
        .describe('Storage class; the default class of the cluster when absent.'),
      readOnly: z.boolean().exactOptional().describe('Mount the claim read-only.'),
      retain: z
        .boolean()
        .default(true)
        .describe(
          'Keep the claim, and its namespace, when the lab ends. `false` deletes it, and what was written to it, with each lab that ends, ' +
            'whether it was stopped or has failed.',
        ),
    })
    .check(
      crossCheck(['storage', 'claimName'], ({ storage, claimName }, report) => {
        if (storage !== undefined || claimName !== undefined) return;
        report(['storage'], `missing: expected ${AN_AMOUNT_OF_MEMORY}, or the claimName of a claim that is there`);
      }),
    )
    .exactOptional()
    .describe('A claim of the lab itself, made in its namespace, or one that is there.'),
  persistentVolume: z
    .strictObject({
      nfs: z
        .strictObject({
          server: z.string().min(1).describe('Host of the NFS server.'),
          path: exportedPath.describe('Exported path.'),
          readOnly: z.boolean().exactOptional().describe('Mount the export read-only.'),
        })
        .exactOptional()
        .describe('An NFS export.'),
      csi: z
        .strictObject({
          driver: z.string().min(1).describe('Name of the driver, such as `efs.csi.aws.com`.'),
          volumeHandle: z.string().min(1).describe('What the driver calls the volume, such as `fs-1234:/homes`.'),
          fsType: z.string().min(1).exactOptional().describe('Type of the file system.'),
          readOnly: z.boolean().exactOptional().describe('Attach it read-only.'),
          volumeAttributes: z.record(z.string(), z.string()).exactOptional().describe('What the driver asks for.'),
          nodeStageSecretRef: secretReference
            .exactOptional()
            .describe('Secret with credentials, for a driver that mounts once for each machine.'),
          nodePublishSecretRef: secretReference
            .exactOptional()
            .describe('Secret with credentials, for a driver that mounts for each pod.'),
        })
        .exactOptional()
        .describe('A volume of a CSI driver, such as one of EFS or Azure Files.'),
      mountOptions: z.array(z.string().min(1)).default([]).describe('Options of the mount, such as `nfsvers=4.1`.'),
      accessModes: accessModes.default(['ReadWriteMany']).describe('Access modes.'),
      storage: memory.default(2 ** 20).describe('Size that Kubernetes is told; nothing is reserved.'),
    })
    .check(
      crossCheck(['nfs', 'csi'], ({ nfs, csi }, report) => {
        if ((nfs === undefined) === (csi === undefined)) report([], 'expected exactly one of nfs, csi');
      }),
    )
    .exactOptional()
    .describe(
      'A file system that is there, mounted with options or by a CSI driver: each lab gets a PersistentVolume and a claim for it, which end with ' +
        'its namespace; what is in it stays. It needs the rights of `deploy/kubernetes-volumes`, and not `namespaces: shared`, where a claim that ' +
        'is there does (`claimName`).',
    ),
  emptyDir: z
    .strictObject({
      medium: z.enum(['Memory']).exactOptional().describe('`Memory` for a tmpfs, which counts as memory of the lab.'),
      sizeLimit: memory.exactOptional().describe('Most it can hold.'),
    })
    .exactOptional()
    .describe('A directory that lives as long as the lab.'),
  configMap: z
    .strictObject({
      name: objectName.describe('ConfigMap in the namespace of the lab, such as `kube-root-ca.crt`.'),
      optional: z.boolean().exactOptional().describe('Start also when it is not there.'),
    })
    .exactOptional()
    .describe('A ConfigMap that the cluster puts into every namespace. For files of your own see `lab.files`.'),
  secret: z
    .strictObject({
      secretName: objectName.describe('Secret in the namespace of the lab.'),
      optional: z.boolean().exactOptional().describe('Start also when it is not there.'),
    })
    .exactOptional()
    .describe('A Secret that something else puts into the namespace. To copy one of your own see `lab.secrets`.'),
};
const SOURCES = Object.keys(volumeSources) as (keyof typeof volumeSources)[];

/** Names that the builder gives to volumes of its own. */
const RESERVED_VOLUMES = /^lab-(?:home|tmp|files|secrets|token|account-token-\d+|env|runtime)$/;

export const volume = z
  .strictObject({
    name: dnsLabel(50)
      .refine((name) => !RESERVED_VOLUMES.test(name), { error: 'expected a name that Labwright does not use itself' })
      .describe('Name for `volumeMounts`.'),
    ...volumeSources,
  })
  .check(
    crossCheck(SOURCES, (value, report) => {
      if (SOURCES.filter((source) => value[source] !== undefined).length !== 1) {
        report([], `expected exactly one of ${SOURCES.join(', ')}`);
      }
    }),
  );

export const volumeMount = z.strictObject({
  name: z.string().describe('One of `lab.volumes`.'),
  mountPath: absolutePath.describe('Where it appears.'),
  subPath: z
    .string()
    .regex(/^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$))[^\0]+$/, { error: 'expected a relative path without ..' })
    .exactOptional()
    .describe('Part of the volume.'),
  readOnly: z.boolean().default(false).describe('Mount it read-only.'),
});

export const initContainer = z.strictObject({
  name: dnsLabel()
    .refine((name) => name !== 'notebook', { error: 'expected another name than notebook, the lab itself' })
    .describe('Name of the container.'),
  image: imageReference.describe('Image it runs.'),
  imagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .default('IfNotPresent')
    .describe('When to pull the image.'),
  command: z.array(z.string()).min(1).exactOptional().describe('Replaces the entrypoint of the image.'),
  args: z.array(z.string()).exactOptional().describe('Arguments.'),
  env: z.record(z.string().regex(ENV_NAME), z.string()).default({}).describe('Environment on top of that of the lab.'),
  runAsRoot: z.boolean().default(false).describe('Run as uid 0. Needs Pod Security `baseline`.'),
  privileged: z.boolean().default(false).describe('Run as privileged root. Needs Pod Security `privileged`.'),
  sees: z
    .enum(['home', 'lab'])
    .default('home')
    .describe(
      '`home`: the home directory, `/tmp` and its own `volumeMounts`. `lab`: all that the lab sees: `lab.volumeMounts`, `lab.files`, ' +
        '/etc/passwd and /etc/group, secrets as files and as environment, the token, and `runtimeMountsDir`.',
    ),
  volumeMounts: z
    .array(volumeMount)
    .default([])
    .describe('Volumes of its own; each takes the place of what it would see at that path.'),
});

const fileMode = z
  .string({ error: 'expected permissions in octal and in quotes, such as "0755"' })
  .regex(/^0?[0-7]{3}$/, { error: 'expected permissions in octal, such as "0755"' })
  .transform((digits) => Number.parseInt(digits, 8));
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const CONTENTS = ['text', 'json', 'yaml', 'base64'] as const;

/** Title of what can be written as text alone, too. */
export const TEXT_OR_KEYS = 'text, or keys';

/** A file of a lab: its text, or what it is made of and its permissions. */
export const labFile = z
  .preprocess(
    (value) => (typeof value === 'string' ? { text: value } : value),
    z
      .strictObject({
        text: z.string().exactOptional(),
        json: z.json().exactOptional(),
        yaml: z.json().exactOptional(),
        base64: z
          .string()
          .transform((text) => text.replaceAll(/\s+/g, ''))
          .refine((text) => BASE64.test(text), { error: 'expected base64' })
          .exactOptional(),
        mode: fileMode.exactOptional(),
      })
      .refine((file) => CONTENTS.filter((key) => file[key] !== undefined).length === 1, {
        error: `expected exactly one of ${CONTENTS.join(', ')}`,
      })
      .transform(({ text, json, yaml, base64, mode }) => ({
        text:
          text ??
          (json === undefined ? undefined : `${JSON.stringify(json, undefined, 2)}\n`) ??
          (yaml === undefined ? undefined : stringify(yaml)),
        base64,
        mode,
      })),
  )
  .meta({ title: TEXT_OR_KEYS });

/** The name of a container beside the lab. */
const sidecarName = ({ name }: Partial<V1Container>) => name !== LAB_CONTAINER;

/** A container that runs beside the lab. */
export const sidecar = asInKubernetes<V1Container>('Container')
  .refine(sidecarName, { path: ['name'], error: `expected another name than ${LAB_CONTAINER}, the lab itself` })
  .refine(({ restartPolicy }: Partial<V1Container>) => restartPolicy === undefined, {
    path: ['restartPolicy'],
    error: 'expected none: a sidecar runs as long as the lab',
  });

export const copiedSecret = z.strictObject({
  secretName: objectName.describe('Secret in the namespace of the controller.'),
  secretKey: z
    .string()
    .regex(SECRET_KEY, { error: 'expected a key of a Secret: letters, digits, - _ and .' })
    .refine((key) => !key.startsWith('..') && key !== '.', { error: 'expected a key that does not begin with ..' })
    .refine((key) => key !== 'token', { error: 'expected another key than token, which holds the token of the user' })
    .describe('Key to copy; it keeps its name, so no two entries can share one.'),
  env: envName.optional().describe('Environment variable that holds it.'),
  path: absolutePath.optional().describe('File that holds it.'),
});
