import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import { crossCheck } from './cross-check.ts';
import { dnsLabel, objectName } from './kubernetes.ts';
import { personal } from './personal.ts';
import { AMOUNT_OF_MEMORY, memory } from './units.ts';

/** What a server exports, which may be all that it has. */
const exportedPath = z
  .union([z.literal('/'), absolutePath], {
    error: ({ input }) =>
      `${input === undefined ? 'missing: ' : ''}expected an absolute path without . and .., such as /export`,
  })
  .meta({ title: 'path' });

const nfsExport = z.strictObject({
  server: z
    .string()
    .regex(/^[^/\s]+$/, { error: 'expected a host without a path: what it exports is path' })
    .describe('Host of the NFS server.'),
  path: exportedPath.describe('Exported path.'),
  readOnly: z.boolean().exactOptional().describe('Mount the export read-only.'),
});

const accessModes = z.array(z.enum(['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'])).min(1);

const secretReference = z.strictObject({
  name: objectName.describe('Its name.'),
  namespace: dnsLabel().describe('Its namespace.'),
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
  nfs: nfsExport.exactOptional().describe('An NFS export. Needs Pod Security `baseline`.'),
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
        report(
          ['storage'],
          `missing: expected ${AMOUNT_OF_MEMORY.expected}, or the claimName of a claim that is there`,
        );
      }),
    )
    .exactOptional()
    .describe('A claim of the lab itself, made in its namespace, or one that is there.'),
  persistentVolume: z
    .strictObject({
      nfs: nfsExport.exactOptional().describe('An NFS export.'),
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
