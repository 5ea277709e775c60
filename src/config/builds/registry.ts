import { z } from 'zod';
import { objectName } from '../kubernetes.ts';
import { positiveDuration } from '../units.ts';

/** Registry and path of images, without a tag: `registry.example.com:5000`. */
const registryHost = z.string().regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d{1,5})?$/, {
  error: 'expected the host of a registry, with a port where it needs one, such as registry.example.com:5000',
});

/** Where built images are kept. */
export const registry = z.strictObject({
  host: registryHost.describe('Host of the registry as image references begin with it; `docker.io` for Docker Hub.'),
  url: z
    .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional()
    .describe('Where Labwright reaches its API; `https://<host>` when absent.'),
  insecure: z.boolean().default(false).describe('Plain HTTP, or a certificate that nobody vouches for.'),
  credentials: objectName
    .optional()
    .describe(
      'Secret of the controller with a docker `config.json` (key `config.json` or `.dockerconfigjson`): what Labwright checks ' +
        'with, and builds push with.',
    ),
  timeout: positiveDuration.default(10_000).describe('For one answer of the registry.'),
  patience: positiveDuration
    .default(60_000)
    .describe('How long a finished build waits for a registry that does not answer, before it has failed.'),
});

/** What built images are called. */
export const naming = z.strictObject({
  scheme: z
    .enum(['template', 'binderhub'])
    .default('template')
    .describe(
      '`template`: by `template` and with a tag that differs when anything differs. `binderhub`: the names BinderHub gives, ' +
        'for registries that already hold its images; they do not tell two configurations apart.',
    ),
  prefix: z
    .string()
    .regex(/^[a-z0-9._/-]*$/, { error: 'expected a part of an image name: a-z, 0-9, . _ - and /' })
    .default('')
    .describe(
      'What the names begin with after the registry, such as `labs/`; with scheme binderhub as BinderHub has it.',
    ),
  template: z
    .string()
    .regex(/^(?:[a-z0-9._/-]|\{(?:prefix|slug|provider|key)\})+$/, {
      error: 'expected a name made of a-z, 0-9, . _ - / and {prefix}, {slug}, {provider}, {key}',
    })
    .refine((template) => template.includes('{slug}') || template.includes('{key}'), {
      error: 'expected {slug} or {key} in it, so that repositories have names of their own',
    })
    .default('{prefix}{slug}')
    .describe('Name of an image below the registry. The tag is the commit and the key of the build.'),
});
