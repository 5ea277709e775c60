import { compact } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';

/** Classes of BinderHub, and the kinds of repositories here. */
const PROVIDERS: Readonly<Record<string, string>> = {
  GitHubRepoProvider: 'gh',
  GistRepoProvider: 'gist',
  GitLabRepoProvider: 'gl',
  GitRepoProvider: 'git',
  ZenodoProvider: 'zenodo',
};
const NO_PROVIDER = 'it is no kind of repository that is built here: gh, gl, git, gist and zenodo are';
const SECRET = 'git-credentials';

/** What may be built, and with which credentials. */
export function importRepositories(config: Source): Table {
  const classes = ['RepoProvider', ...Object.keys(PROVIDERS)];
  const patterns = (trait: string, to: string) =>
    classes.flatMap((name) => importPatterns(config.at(name, trait), { to, isGeneral: name !== 'GitHubRepoProvider' }));
  const made = compact({
    providers: importProviders(config.at('BinderHub', 'repo_providers')),
    denied: patterns('banned_specs', 'builds.repositories.denied'),
    allowed: patterns('allowed_specs', 'builds.repositories.allowed'),
    github: importHost(config.at('GitHubRepoProvider'), 'github'),
    gitlab: importHost(config.at('GitLabRepoProvider'), 'gitlab'),
    credentials: importCredentials(config),
  });
  for (const name of classes) explainRest(config.at(name));
  for (const [name, provider] of config.entries()) {
    if (/Provider$/.test(name) && !classes.includes(name)) provider.lost(NO_PROVIDER);
  }
  return made;
}

function importProviders(list: Source | undefined): Json {
  if (list === undefined) return undefined;
  return list.entries().flatMap(([prefix, provider]) => {
    const name = provider.text()?.split('.').at(-1) ?? '';
    const kind = PROVIDERS[name] ?? (Object.values(PROVIDERS).includes(prefix) ? prefix : undefined);
    if (kind === undefined) provider.lost(NO_PROVIDER);
    else provider.mapped('builds.repositories.providers');
    return kind ?? [];
  });
}

/** Patterns begin where the name of a repository does there, and are found anywhere here. */
function importPatterns(list: Source | undefined, { to, isGeneral }: { to: string; isGeneral: boolean }): string[] {
  return (list?.entries() ?? []).flatMap(([, pattern]) => {
    const written = (pattern.text() ?? '').replaceAll('(?P<', '(?<').replace(/^\(\?[ims]+\)/, '');
    try {
      new RegExp(written, 'i');
    } catch {
      pattern.lost('a regular expression of Python that is none here: write it anew');
      return [];
    }
    if (isGeneral) pattern.remarked(to, 'of anything but GitHub it is the URL that is looked at: see that it fits');
    else pattern.mapped(to);
    return `^(?:${written.replace(/^\^/, '')})`;
  });
}

function importHost(provider: Source | undefined, key: 'github' | 'gitlab'): Table {
  const [host, api] = [provider?.at('hostname'), provider?.at('api_base_path')];
  host?.mapped(`builds.repositories.${key}.url`);
  if (key === 'github') api?.mapped('builds.repositories.github.apiUrl');
  const path = api?.text()?.replace('{hostname}', host?.text() ?? 'github.com');
  return compact({
    url: host === undefined ? undefined : `https://${host.text() ?? ''}`,
    apiUrl: key === 'github' ? path : undefined,
  });
}

const CREDENTIAL_TRAITS = ['access_token', 'private_token', 'client_id', 'client_secret', 'git_credentials'];

/** Credentials are named, not copied. */
function importCredentials(config: Source): Json[] {
  return [['GitHubRepoProvider', 'github.com'] as const, ['GitLabRepoProvider', 'gitlab.com'] as const].flatMap(
    ([name, otherwise]) => {
      const provider = config.at(name);
      const host = provider?.at('hostname')?.text() ?? otherwise;
      const found = CREDENTIAL_TRAITS.flatMap((trait) => provider?.at(trait) ?? []).filter(({ value }) => value !== '');
      const secret = `${SECRET}-${host.replaceAll(/[^a-z0-9]+/g, '-')}`;
      for (const each of found) {
        each.remarked(
          'builds.repositories.credentials',
          `make a Secret ${secret} with username and password (a token) in the namespace of Labwright: it is not copied from here`,
        );
      }
      return found.length === 0 ? [] : [{ url: `https://${host}`, secret }];
    },
  );
}

function explainRest(provider: Source | undefined): void {
  for (const key of ['spec_config', 'high_quota_specs']) {
    provider?.at(key)?.lost('nothing differs from repository to repository: labs and builds are counted by user');
  }
  for (const trait of CREDENTIAL_TRAITS) {
    const found = provider?.at(trait);
    if (found?.isSettled === false) {
      found.remarked(
        'builds.repositories',
        'make a Secret with it, and name the host in builds.repositories.credentials',
      );
    }
  }
  provider
    ?.at('allow_secret_gist')
    ?.remarked(
      'builds.repositories',
      'gists that are not listed are built as well: whoever knows their address asks for them',
    );
  for (const rest of provider?.unsettled() ?? []) rest.lost('there is no setting for it');
}
