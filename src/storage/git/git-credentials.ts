import type { V1Secret } from '@kubernetes/client-node';
import { LRUCache } from 'lru-cache';
import { buildGitFiles } from './git-files.ts';
import type { BuildsConfig } from '../../config/index.ts';
import { BuildProblem, type Repository } from '../../domain/build/build.ts';
import { type GitCredential, mostSpecific } from '../../domain/git/git-credential.ts';
import type { KubeClient } from '../kubernetes/kube-client.ts';
import { Secrets } from '../kubernetes/resources.ts';
import { KnownHosts } from './known-hosts.ts';

const CACHE_MS = 30_000;
const READ_MS = 10_000;
/** Hosts that take a token take it with any name. */
const ANY_USER = 'git';

/** Credentials for Git hosts, from Secrets of the controller's namespace; what was read is believed for 30 s. */
export class GitCredentials {
  readonly #options: GitCredentialsOptions;
  readonly #secrets: LRUCache<string, V1Secret>;

  constructor(options: GitCredentialsOptions) {
    this.#options = options;
    const max = Math.max(1, options.config.credentials.length);
    this.#secrets = new LRUCache({ max, ttl: CACHE_MS, ttlResolution: 0, fetchMethod: (name) => this.#read(name) });
  }

  /**
   * Files for Git in the build of this repository, and of nothing else; none where it is public.
   *
   * @throws {BuildProblem} `MissingSecret`; `RepositoryUnavailable` when the Secret cannot be read at the moment
   */
  async filesFor(repository: Repository): Promise<Record<string, string>> {
    return repository.provider === 'zenodo' ? {} : buildGitFiles(await this.forUrl(repository.url));
  }

  /**
   * The credential for a URL: that of the smallest part of its host that one is configured for.
   *
   * @throws {BuildProblem} as `filesFor`
   */
  async forUrl(url: string): Promise<GitCredential | undefined> {
    const entry = mostSpecific(this.#options.config.credentials, url);
    if (entry === undefined) return undefined;
    const secret = await this.#secrets.fetch(entry.secret);
    const values = Object.fromEntries(
      Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
    );
    const { hostname, port, protocol } = new URL(url);
    const credential =
      protocol === 'ssh:' ? sshCredential(entry.url, values, hostname, port) : httpCredential(entry.url, values);
    if (credential !== undefined) return credential;
    const message = `The credentials for ${hostname} are not there, or not complete. Tell an administrator.`;
    throw new BuildProblem({ reason: 'MissingSecret', message });
  }

  async #read(name: string): Promise<V1Secret | undefined> {
    const { client, namespace } = this.#options;
    try {
      return await client.get(Secrets, { namespace, name }, { timeoutMs: READ_MS });
    } catch (cause) {
      const message = 'The credentials for the repository cannot be read at the moment.';
      throw new BuildProblem({ reason: 'RepositoryUnavailable', message }, { transient: true, cause });
    }
  }
}

export interface GitCredentialsOptions {
  readonly client: KubeClient;
  /** That of the controller. */
  readonly namespace: string;
  readonly config: Pick<BuildsConfig['repositories'], 'credentials'>;
}

type Values = Readonly<Record<string, string>>;

/** A newline at the end is what editors and `kubectl create secret --from-file` leave there. */
function httpCredential(url: string, { username, password }: Values): GitCredential | undefined {
  const [user, token] = [username ?? ANY_USER, password].map((value) => value?.replace(/\r?\n$/, ''));
  // Git's credential protocol has a line for each.
  if (user === undefined || !token || /[\r\n\0]/.test(user + token)) return undefined;
  return { kind: 'http', url, username: user, password: token };
}

function sshCredential(url: string, values: Values, hostname: string, port: string): GitCredential | undefined {
  const privateKey = values['ssh-privatekey'];
  const host = hostname.replace(/^\[|\]$/g, '');
  const knownHosts = new KnownHosts(values['known_hosts'] ?? '', host, Number(port || 22)).text;
  if (privateKey === undefined || knownHosts === '') return undefined;
  return { kind: 'ssh', url, privateKey: privateKey.endsWith('\n') ? privateKey : `${privateKey}\n`, knownHosts };
}
