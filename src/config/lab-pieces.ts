import type { V1Container } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { z } from 'zod';
import { LAB_CONTAINER } from '../domain/lab/pod.ts';
import { absolutePath } from './absolute-path.ts';
import { asInKubernetes, dnsLabel, objectName } from './kubernetes.ts';
import { volumeMount } from './lab-volumes.ts';

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

/** An image as a container runs it. */
export const imageReference = z
  .string()
  .max(1024)
  .regex(IMAGE, { error: 'expected an image such as registry.example.com/name:tag' });

/** An image that a lab can be started from. */
export const taggedImage = imageReference.regex(/(?::[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[a-f0-9]{64})$/, {
  error: 'expected an image with a tag or a digest, such as registry.example.com/name:1',
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
