import { z } from 'zod';
import { parseImageReference } from '../../domain/image/image-reference.ts';
import { REPOSITORY_SLUG_LENGTH } from '../../domain/git/repository-slug.ts';
import { crossCheck } from '../cross-check.ts';
import { objectName } from '../kubernetes.ts';
import { positiveDuration } from '../units.ts';

const HOST_LENGTH = 100;
/** What is left of the 255 characters that an image's name may have. */
const NAME_LENGTH = 255 - HOST_LENGTH - 1;

/** `registry.example.com:5000`; a single word would be taken for a user of Docker Hub. */
const registryHost = z
  .string()
  .max(HOST_LENGTH)
  .refine((host) => parseImageReference(`${host}/a`)?.registry === host && !host.startsWith('['), {
    error:
      'expected the host of a registry without https://, with a port where it needs one, such as registry.example.com:5000',
  });

/** Which token servers see credentials: `storage/registry/token-realm.ts`. */
export const tokenHosts = z
  .array(
    z
      .string()
      .max(253)
      .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, {
        error: 'expected the name of a host without https:// and without a port, such as sso.example.com',
      }),
  )
  .max(20)
  .optional()
  .describe(
    'Hosts of token servers that are shown its credentials, besides those of its own domain (`gitlab.example.com` for ' +
      '`registry.example.com`).',
  );

/** Docker Hub answers to other names; references to its images begin with one. */
const HUB = /^(?:index\.|registry-1\.|registry\.hub\.|hub\.|www\.)?docker\.(?:io|com)$/;

/** How a registry is reached. */
export const registryAccess = {
  host: registryHost
    .refine((host) => host === 'docker.io' || !HUB.test(host), {
      error: 'expected docker.io, which is the name of Docker Hub',
    })
    .describe('Host of the registry as image references begin with it; `docker.io` for Docker Hub.'),
  url: z
    .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional()
    .describe('Where Labwright reaches its API; `https://<host>` when absent.'),
  insecure: z.boolean().default(false).describe('Plain HTTP, or a certificate that nobody vouches for.'),
  timeout: positiveDuration.default(10_000).describe('For one answer of the registry.'),
  tokenHosts,
};

/** Where built images are kept. */
export const registry = z.strictObject({
  ...registryAccess,
  credentials: objectName
    .optional()
    .describe(
      'Secret of the controller with a docker `config.json` (key `config.json` or `.dockerconfigjson`): what Labwright checks ' +
        'with, and builds push with.',
    ),
  patience: positiveDuration
    .default(60_000)
    .describe('How long a finished build waits for a registry that does not answer, before it has failed.'),
});

/** What built images are called. */
export const naming = z
  .strictObject({
    scheme: z
      .enum(['template', 'binderhub'])
      .default('template')
      .describe(
        '`template`: by `template` and with a tag that differs when anything differs. `binderhub`: the names BinderHub gives, ' +
          'for registries that already hold its images; they do not tell two configurations apart.',
      ),
    prefix: z
      .string()
      .regex(/^[a-z0-9._/-]*$/, {
        error: 'expected a part of an image name: a-z, 0-9, . _ - and /',
      })
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
  })
  .check(
    crossCheck(['scheme', 'prefix', 'template'], ({ scheme, prefix, template }, report) => {
      const path = scheme === 'template' ? 'template' : 'prefix';
      const name = scheme === 'template' ? longestName(template, prefix) : `${prefix.replaceAll('_', '-')}a`;
      if (parseImageReference(`a.b/${name}`) === undefined) report([path], 'expected it to make valid names of images');
      if (name.length > NAME_LENGTH) {
        report([path], `expected names of ${NAME_LENGTH} characters at most, and these may have ${name.length}`);
      }
    }),
  );

/** Whether every image has a name of several parts: Docker Hub keeps none of one part for anybody but itself. */
export function hasNamespace({ scheme, prefix, template }: z.output<typeof naming>): boolean {
  return (scheme === 'template' ? longestName(template, prefix) : prefix).replace(/^\/+/, '').includes('/');
}

/** What is put in for a word is valid by itself, so that one name tells whether all are. */
function longestName(template: string, prefix: string): string {
  return template
    .replaceAll('{prefix}', prefix)
    .replaceAll('{slug}', 'a'.repeat(REPOSITORY_SLUG_LENGTH))
    .replaceAll('{provider}', 'zenodo')
    .replaceAll('{key}', 'a'.repeat(40));
}
