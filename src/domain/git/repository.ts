import type { Repository } from '../build/build.ts';
import { parseRef } from './git-ref.ts';
import { type Address, decodePart, formatAddress, invalid, parseAddress, refuseUnreadable } from './repository-url.ts';

export { parseBuildPath, parseRef } from './git-ref.ts';

/** Where GitHub and GitLab are, without a slash at the end. */
export interface KnownHosts {
  readonly github: { readonly url: string };
  readonly gitlab: { readonly url: string };
}

/** Names that GitHub gives: of users with dots too, since those of Enterprise Managed Users are not ours to judge. */
const GITHUB_NAME = /^[A-Za-z0-9_.-]{1,100}$/;
const GITLAB_NAME = /^[A-Za-z0-9_.-]{1,255}$/;
const GIST_ID = /^(?:[0-9a-f]{20,64}|[0-9]{1,19})$/;
const DOI = /^(?:doi:|https?:\/\/(?:dx\.)?doi\.org\/(?:doi:)?)?(10\.[0-9]{4,9}\/.+)$/i;
const DOI_NAME = /^10\.[0-9]{4,9}\/[a-z0-9._;()/-]{1,200}$/;
const ZENODO_RECORD = /^https?:\/\/(?:www\.)?zenodo\.org\/records?\/([0-9]{1,15})\/?$/i;
const SHORT_NAME = /^[^/:@]+\/[^/:@]+\/*$/;
/** Schemes by which the known hosts are spoken of; all of them mean the one that is configured. */
const GIT_SCHEMES = new Set(['https', 'http', 'ssh', 'git']);

/**
 * A repository as people write it: a URL, `git@host:path`, a DOI, or `owner/name` of GitHub.
 *
 * Equal for all spellings of one repository as far as the text alone says so: host, port, scheme and ways of writing a
 * path of the known hosts are; letters of different case in a path are not (docs/decisions/repositories.md).
 *
 * @throws {BuildProblem} `RepositoryInvalid`
 */
export function parseRepository(text: string, hosts: KnownHosts): Repository {
  const trimmed = text.trim();
  refuseUnreadable(trimmed);
  const doi = doiOf(trimmed);
  if (doi !== undefined) return { provider: 'zenodo', url: doi };
  const address = parseAddress(SHORT_NAME.test(trimmed) ? `${hosts.github.url}/${trimmed}` : trimmed);
  if (address === undefined) {
    throw invalid('A repository is named by its URL, by its DOI, or as owner/name of GitHub.');
  }
  return ofGist(address, hosts) ?? ofGitHub(address, hosts) ?? ofGitLab(address, hosts) ?? ofGit(address);
}

/**
 * Repository and ref of a BinderHub address, `{provider}/{spec}` with the specification still percent-encoded. Where the
 * ref is left out, it is `HEAD`.
 *
 * @throws {BuildProblem} `RepositoryInvalid`, `RefNotFound`
 */
export function parseBinderSpec(
  provider: string,
  spec: string,
  hosts: KnownHosts,
): { repository: Repository; ref: string } {
  refuseUnreadable(spec);
  const [first = '', second = '', ...rest] = spec.replace(/\/+$/, '').split('/');
  const refOf = (parts: readonly string[]) => parseRef(decodePart(parts.join('/')));
  switch (provider) {
    case 'gh': {
      const url = `${hosts.github.url}/${named(first, GITHUB_NAME)}/${named(second, GITHUB_NAME)}`;
      return { repository: parseRepository(url, hosts), ref: refOf(rest) };
    }
    case 'gl': {
      const path = decodePart(first)
        .replace(/(?:\.git)+$/, '')
        .split('/');
      if (path.length < 2) {
        throw invalid(
          'The name of a repository of GitLab is written with %2F for each of its slashes here: group%2Fname/branch.',
        );
      }
      const url = `${hosts.gitlab.url}/${path.map((part) => named(part, GITLAB_NAME)).join('/')}`;
      return { repository: parseRepository(url, hosts), ref: refOf([second, ...rest].filter(Boolean)) };
    }
    case 'git': {
      const url = decodePart(first);
      // A scheme alone is what stands before the first slash of an address that is not encoded.
      if (!/[:@]/.test(url) || /^[a-z+]+:$/i.test(url)) {
        throw invalid(
          'A repository of any Git server is named by its URL, percent-encoded with %2F for each of its slashes here: ' +
            'https%3A%2F%2Fgit.example.org%2Fname/branch.',
        );
      }
      return { repository: parseRepository(url, hosts), ref: refOf([second, ...rest].filter(Boolean)) };
    }
    case 'gist': {
      // The user before the id says nothing: the id alone names a gist.
      const id = decodePart(second).replace(/(?:\.git)+$/, '');
      return { repository: gist(id, hosts), ref: refOf(rest) };
    }
    case 'zenodo': {
      const doi = doiOf(decodePart(spec));
      if (doi === undefined)
        throw invalid('A repository of Zenodo is named by its DOI, such as 10.5281/zenodo.3242074.');
      return { repository: { provider: 'zenodo', url: doi }, ref: 'HEAD' };
    }
    default:
      throw invalid('This kind of repository is not known: it is one of gh, gl, git, gist and zenodo.');
  }
}

function named(part: string, pattern: RegExp): string {
  const name = decodePart(part);
  if (name === '.' || name === '..' || !pattern.test(name)) {
    throw invalid('The repository is not written as its kind wants it, with a ref at the end.');
  }
  return name;
}

/** DOIs are the same in upper and lower case (DOI handbook, 2.4). */
function doiOf(text: string): string | undefined {
  const record = ZENODO_RECORD.exec(text)?.[1];
  if (record !== undefined) return `10.5281/zenodo.${record}`;
  const doi = DOI.exec(text)?.[1];
  if (doi === undefined) return undefined;
  const name = decodePart(doi).toLowerCase().replace(/\/+$/, '');
  if (!DOI_NAME.test(name) || /\/\/|(?:^|\/)\.\.?(?:\/|$)/.test(name)) throw invalid('The DOI cannot be read.');
  return name;
}

function ofGist(address: Address, hosts: KnownHosts): Repository | undefined {
  const url = gistUrl(hosts);
  if (url === undefined || belowHost(address, url) === undefined) return undefined;
  const [one = '', two, ...others] = address.path;
  if (others.length > 0) throw invalid('A gist is named by its user and its id.');
  return gist((two ?? one).replace(/(?:\.git)+$/, ''), hosts);
}

function gist(id: string, hosts: KnownHosts): Repository {
  const lower = id.toLowerCase();
  if (!GIST_ID.test(lower)) throw invalid('This cannot be the id of a gist.');
  const url = gistUrl(hosts);
  if (url === undefined) throw invalid('The GitHub of this site has no gists with a name of their own.');
  return { provider: 'gist', url: `${url}/${lower}.git` };
}

/** Undefined where GitHub has an address and no name, below which there is no other. */
function gistUrl({ github }: KnownHosts): string | undefined {
  const { protocol, host } = new URL(github.url);
  const url = `${protocol}//gist.${host}`;
  return URL.canParse(url) ? url : undefined;
}

function ofGitHub(address: Address, { github }: KnownHosts): Repository | undefined {
  const path = belowHost(address, github.url);
  if (path === undefined) return undefined;
  const [owner = '', name = '', ...others] = path;
  const repository = name.replace(/(?:\.git)+$/, '');
  const isRepository = [owner, repository].every((part) => GITHUB_NAME.test(part) && !/^\.\.?$/.test(part));
  if (!isRepository || others.length > 0) {
    throw invalid('A repository of GitHub is an owner and a name; a branch or a directory is given beside it.');
  }
  return { provider: 'gh', url: `${github.url}/${owner}/${repository}` };
}

function ofGitLab(address: Address, { gitlab }: KnownHosts): Repository | undefined {
  const path = belowHost(address, gitlab.url);
  if (path === undefined) return undefined;
  const parts = [...path.slice(0, -1), (path.at(-1) ?? '').replace(/(?:\.git)+$/, '')];
  // A lone dash stands between a project and its pages: `/group/project/-/tree/main`.
  const isProject = parts.length >= 2 && parts.every((part) => GITLAB_NAME.test(part) && !/^(?:-|\.\.?)$/.test(part));
  if (!isProject) {
    throw invalid('A repository of GitLab is its groups and its name; a branch or a directory is given beside it.');
  }
  return { provider: 'gl', url: `${gitlab.url}/${parts.join('/')}.git` };
}

function ofGit(address: Address): Repository {
  if (!['https', 'http', 'ssh'].includes(address.scheme)) {
    throw invalid('The URL of a repository begins with https://, http:// or ssh://.');
  }
  return { provider: 'git', url: formatAddress(address) };
}

/** The path below a known host, whatever scheme it is written with; undefined for any other host. */
function belowHost(address: Address, base: string): string[] | undefined {
  const { protocol, hostname, port, pathname } = new URL(base);
  const { scheme, host, path } = address;
  if (!GIT_SCHEMES.has(scheme) || (host !== hostname && host !== `www.${hostname}`)) return undefined;
  const isWeb = scheme === 'https' || scheme === 'http';
  // http and https are two ports of the one host; a port that is written out must be the one that is configured.
  if (address.port !== (isWeb ? port : '')) return undefined;
  if (isWeb && port !== '' && `${scheme}:` !== protocol) return undefined;
  const prefix = pathname.split('/').filter(Boolean);
  if (!prefix.every((part, index) => path[index] === part)) return undefined;
  return path.slice(prefix.length);
}
