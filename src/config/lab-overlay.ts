import { z } from 'zod';
import type { DeepReadonly } from '../util/deep-readonly.ts';
import { uniqueBy } from './cross-check.ts';
import {
  affinity,
  annotations,
  labels,
  labelValue,
  objectName,
  ownKey,
  qualifiedName,
  toleration,
  topologySpreadConstraint,
} from './kubernetes.ts';
import { absolutePath } from './absolute-path.ts';
import { extraObject } from './extra-objects.ts';
import { envName, initContainer, labFile, sidecar } from './lab-pieces.ts';
import { volume, volumeMount } from './lab-volumes.ts';
import { personal } from './personal.ts';
import { duration, memory } from './units.ts';

const MINUTE = 60_000;

const serviceAccount = z.strictObject({
  name: personal(objectName)
    .optional()
    .describe(
      "Its name, in the namespace of the lab. In a namespace of the lab's own it is made, and called `lab` when absent; in one that labs " +
        'share it has to be there, and is `default` when absent.',
    ),
  annotations: annotations
    .default({})
    .describe('Annotations, such as `eks.amazonaws.com/role-arn`, by which a cloud knows it.'),
  tokens: z
    .array(
      z.strictObject({
        audience: z.string().min(1).describe('Who accepts the token (`aud`), such as `sts.amazonaws.com`.'),
        path: absolutePath
          .refine((path) => path.indexOf('/', 1) > 0, { error: 'expected a file in a directory of its own' })
          .describe('File that holds it, in a directory that holds nothing else: the kubelet renews it there.'),
        lifetime: duration
          .refine((ms) => ms >= 10 * MINUTE && ms <= 24 * 60 * MINUTE, { error: 'expected a duration from 10m to 24h' })
          .default(60 * MINUTE)
          .describe('How long it is valid, from 10m to 24h.'),
      }),
    )
    .check(uniqueBy('path'))
    .default([])
    .describe('Tokens of the account for other services, such as those of a cloud: none is for the API server.'),
});

/** As a key it must be written in one way only, or one of two spellings of a path would be lost. */
const pathKey = z
  .string()
  .regex(/^(?:\/(?!\.\.?(?:\/|$))[^\0:/]+)+$/, {
    error: 'expected an absolute path without colon, . and .. and without a slash at its end',
  })
  .refine((path) => !['/etc/passwd', '/etc/group', '/tmp'].includes(path) && !path.startsWith('/tmp/'), {
    error: 'expected another path: Labwright itself fills /etc/passwd, /etc/group and /tmp',
  });

/** The settings of labs that may differ from lab to lab: what the pod and what is beside it are made of. */
export const pieces = {
  command: z.array(z.string()).min(1).optional().describe('Replaces the entrypoint of the image.'),
  args: z
    .array(z.string())
    .optional()
    .describe('Start command, handed to the entrypoint; `[jupyterhub-singleuser]` when there is no `command` either.'),
  imagePullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .default('IfNotPresent')
    .describe('When to pull the image.'),
  env: z.record(envName, z.string()).default({}).describe('Environment; wins over that of the hub.'),
  files: z
    .record(pathKey, labFile)
    .default({})
    .describe(
      'Files by path, read-only in the lab: text, or `{ text | json | yaml | base64, mode }`, where `json` and `yaml` are written out and ' +
        '`mode` are permissions such as `"0755"`.',
    ),
  volumes: z.array(volume).check(uniqueBy('name')).default([]).describe('Volumes; each has a name and one source.'),
  volumeMounts: z.array(volumeMount).default([]).describe('Where the lab sees the volumes.'),
  initContainers: z
    .array(initContainer)
    .check(uniqueBy('name'))
    .default([])
    .describe('Containers that run before the lab.'),
  sidecars: z
    .array(sidecar)
    .check(uniqueBy('name'))
    .default([])
    .describe(
      'Containers that run beside the lab and end with it, as in a Pod; their `volumeMounts` name `lab.volumes`. They start before the lab, ' +
        'after the init containers. They are confined as the lab is where they do not say otherwise.',
    ),
  podPatch: z
    .record(z.string(), z.json())
    .refine((patch) => !('restartPolicy' in patch), { path: ['restartPolicy'], error: 'expected none: it is Never' })
    .meta({ title: 'keys, as in Kubernetes' })
    .default({})
    .describe(
      'For what there is no setting: laid over the `spec` of the pod at last, as a JSON merge patch; lists of things with a `name` are ' +
        'merged by it, mounts by their path. The container of the lab is `notebook`. `labwright render` shows what becomes of it.',
    ),
  unlimited: z
    .array(z.enum(['cpu', 'memory']))
    .default([])
    .describe(
      'What the container of the lab has no limit of, whatever its size says: it may use what its machine has left. The amounts of the size still ' +
        'count for quotas, and are the limit of whoever has one.',
    ),
  fsGroup: z
    .enum(['ownClaims', 'always', 'never'])
    .default('ownClaims')
    .describe(
      'Where the pod gets the gid of the user as `fsGroup`, by which machines hand the files of a volume to that group. `ownClaims`: where ' +
        'a claim is mounted that only one machine at a time may use (`ReadWriteOnce`, `ReadWriteOncePod`). It is for the pod as a whole: ' +
        'where a shared volume is mounted beside such a claim, whether its files change hands too is up to its driver (`fsGroupPolicy`).',
    ),
  tmp: z
    .strictObject({
      medium: z.enum(['disk', 'memory']).default('disk').describe('Where /tmp is kept.'),
      sizeLimit: memory
        .optional()
        .describe('Most it can hold; a quarter of the memory of the lab when `medium` is memory.'),
    })
    .prefault({})
    .describe('The directory /tmp, empty for each lab.'),
  defaultUrl: z
    .string()
    .regex(/^\/(?!\/)[^\s]*$/, { error: 'expected a path such as /lab' })
    .optional()
    .describe('Page of the lab that its user is led to first, such as `/rstudio`; what the hub says when absent.'),
  workingDir: absolutePath
    .optional()
    .describe(
      'Directory in which the lab starts; the home directory when absent, and that of the image with schema `image`.',
    ),
  serviceAccount: serviceAccount
    .prefault({})
    .describe('The service account of the lab. It has no rights in the cluster.'),
  readOnlyRootFilesystem: z.boolean().default(false).describe('Make everything but mounts read-only.'),
  nodeSelector: labels.default({}).describe('Labels a node must have.'),
  tolerations: z.array(toleration).default([]).describe('Tolerations, as in a Pod.'),
  affinity: affinity.optional().describe('Affinity, as in a Pod.'),
  topologySpreadConstraints: z
    .array(topologySpreadConstraint)
    .default([])
    .describe('Topology spread constraints, as in a Pod.'),
  priorityClassName: objectName.optional().describe('Priority class of the pod.'),
  runtimeClassName: objectName.optional().describe('Runtime class of the pod.'),
  schedulerName: objectName.optional().describe('Scheduler of the pod.'),
  hostUsers: z.boolean().optional().describe('`false` runs the pod in a user namespace of its own.'),
  extraLabels: z
    .record(ownKey(qualifiedName), personal(labelValue))
    .default({})
    .describe('Labels on every object of a lab.'),
  extraAnnotations: z
    .record(ownKey(qualifiedName), z.string())
    .default({})
    .describe('Annotations on every object of a lab.'),
  namespaceAnnotations: annotations.default({}).describe('Annotations on the namespace.'),
  extraObjects: z
    .array(extraObject)
    .default([])
    .describe(
      'Further objects in the namespace of the lab, as manifests: made before its pod, and removed when it ends (docs/extra-objects.md). Names that begin ' +
        "with `lab` are Labwright's own. With `namespaces: shared`, names need the user and the server in them.",
    ),
};

export type PieceKey = keyof typeof pieces;
export const PIECE_KEYS = Object.keys(pieces) as PieceKey[];

/** Pieces that are laid over those of `lab`, without their defaults. */
export const overlaySettings = z
  .strictObject(Object.fromEntries(PIECE_KEYS.map((key) => [key, withoutDefault(pieces[key]).exactOptional()])))
  .transform((settings) => settings as LabOverlay)
  .meta({ title: 'some keys of `lab`' });

export type LabOverlay = DeepReadonly<Partial<{ [Key in PieceKey]: z.output<(typeof pieces)[Key]> }>>;

function withoutDefault(schema: z.ZodType): z.ZodType {
  const isWrapped =
    schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  return isWrapped ? withoutDefault(schema.unwrap() as z.ZodType) : schema;
}
