import { z } from 'zod';
import { objectName } from '../kubernetes.ts';
import { duration, positiveDuration } from '../units.ts';

const url = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .transform((url) => url.replace(/\/+$/, ''));

const host = z.string().regex(/^(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i, {
  error: 'expected a host such as git.example.com or *.example.com, with a port where it needs one',
});

/** A regular expression over canonical URLs, compiled once. */
export const repositoryPattern = z
  .string()
  .max(1000)
  .transform((text, context) => {
    try {
      return new RegExp(text, 'i').source;
    } catch {
      context.issues.push({ code: 'custom', message: 'expected a regular expression', input: text });
      return z.NEVER;
    }
  })
  .meta({ title: 'regular expression' });

const credential = z.strictObject({
  url: z
    .string()
    .regex(/^(?:https?|ssh):\/\/[^/@\s]+(?:\/[^\s]*)?$/, {
      error: 'expected https://host, http://host or ssh://host, with a path where it is for a part of it, and no user',
    })
    .describe('Scheme, host and, where it is for a part of the host only, path: git sends it there and nowhere else.'),
  secret: objectName.describe(
    'Secret of the controller: `username` and `password` (a token is a password, and any user name goes with it) for http, `ssh-privatekey` and ' +
      '`known_hosts` for ssh, as in the Secret types basic-auth and ssh-auth of Kubernetes.',
  ),
});

/** Which repositories may be built, and how they are asked. */
export const repositories = z.strictObject({
  providers: z
    .array(z.enum(['gh', 'gl', 'git', 'gist', 'zenodo']))
    .min(1)
    .default(['gh', 'gl', 'git', 'gist', 'zenodo'])
    .describe('Kinds of repositories: GitHub, GitLab, any Git server, gists, and DOIs of Zenodo.'),
  allowed: z
    .array(repositoryPattern)
    .default([])
    .describe(
      'Where there are any, a repository must match one: regular expressions, found anywhere in its URL with or without ' +
        '`.git`; of GitHub also in `owner/name/ref`, as BinderHub has it.',
    ),
  denied: z
    .array(repositoryPattern)
    .default([])
    .describe(
      'No repository that matches one of these, in whatever way it can be written, or to which a host sends on; wins over `allowed`.',
    ),
  unreachedCommits: z
    .boolean()
    .optional()
    .describe(
      'Build commits that no branch and no tag of the repository has, such as those of pull requests (`refs/pull/7/head`). Who can open a ' +
        'pull request or has a fork can make such commits, so that they are built only where `allowed` is empty unless this is set.',
    ),
  privateHosts: z
    .array(host)
    .default([])
    .describe(
      'Hosts that may have addresses in private networks, at the ports 443, 80 and 22 unless one is given. All others must ' +
        'have public addresses.',
    ),
  credentials: z.array(credential).default([]).describe('Credentials for Git hosts.'),
  github: z
    .strictObject({
      url: url.default('https://github.com').describe('Where GitHub is; that of an Enterprise Server.'),
      apiUrl: url.default('https://api.github.com').describe('Where its API is.'),
    })
    .prefault({})
    .describe('GitHub. Its token is the password of the entry of `credentials` for its URL.'),
  gitlab: z
    .strictObject({ url: url.default('https://gitlab.com').describe('Where GitLab is.') })
    .prefault({})
    .describe('GitLab. Its token is the password of the entry of `credentials` for its URL.'),
  zenodo: z
    .strictObject({
      url: url.default('https://zenodo.org').describe('Where Zenodo is.'),
      doiUrl: url.default('https://doi.org').describe('Where DOIs are looked up.'),
    })
    .prefault({})
    .describe('Zenodo: a DOI must lead there.'),
  timeout: positiveDuration.default(15_000).describe('For resolving one ref.'),
  refCache: duration
    .default(10_000)
    .describe(
      'How long a resolved ref is believed without asking again, and twelve times as long that there is none; 0 for never.',
    ),
});

/** Whether commits are built that no branch and no tag has. */
export function buildsUnreached({
  unreachedCommits,
  allowed,
}: {
  readonly unreachedCommits?: boolean | undefined;
  readonly allowed: readonly string[];
}): boolean {
  return unreachedCommits ?? allowed.length === 0;
}
