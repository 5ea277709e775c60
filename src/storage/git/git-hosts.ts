import type { BuildsConfig } from '../../config/index.ts';
import type { BuildProblem, Repository } from '../../domain/build/build.ts';
import type { GitCredential } from '../../domain/git/git-credential.ts';
import { isCommit } from '../../domain/git/git-ref.ts';
import type { AddressGuard } from '../outbound/address-guard.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import type { GitCredentials } from './git-credentials.ts';
import { HostApiClient } from './host-api.ts';
import { askOverHttp } from './http-refs.ts';
import { githubApi, gitlabApi } from './known-apis.ts';
import { notAllowed, rateLimited, refNotFound, toProblem } from './problems.ts';
import { findRef, isOffered, type RemoteQuestion } from './remote-refs.ts';
import { findRecord } from './zenodo.ts';

export interface GitHostsOptions {
  readonly config: BuildsConfig['repositories'];
  readonly credentials: Pick<GitCredentials, 'forUrl'>;
  readonly guard: AddressGuard;
  readonly client: OutboundClient;
  /** Judges where a host sends on to; absent where it may send anywhere. What it throws ends the question. */
  readonly judge: ((from: string, to: string, ref: string) => void) | undefined;
}

/** What a ref has come to. */
export interface FoundCommit {
  readonly commit: string;
  /** The branch that was asked for is not there, and the commit is that of the default branch. */
  readonly isFallback?: true;
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443', 'ssh:': '22' };
/** Names that the first branch of a repository has; of a gist it is the only one. It is what `HEAD` is. */
const FIRST_BRANCHES = new Set(['main', 'master']);

/** Asks hosts of repositories: by their API where they have one, by Git over HTTP or SSH, and Zenodo. */
export class GitHosts {
  readonly #options: GitHostsOptions;
  readonly #github: HostApiClient;
  readonly #gitlab: HostApiClient;

  constructor(options: GitHostsOptions) {
    const { client, config } = options;
    this.#options = options;
    this.#github = new HostApiClient(client, githubApi(config.github));
    this.#gitlab = new HostApiClient(client, gitlabApi(config.gitlab));
  }

  /** Whether it is one of those that the configuration names: any other may be none that a build may reach. */
  isKnown(repository: Repository): boolean {
    return repository.provider === 'gist' || this.#apiOf(repository) !== undefined;
  }

  /**
   * The commit that a ref means.
   *
   * @throws {BuildProblem} and whatever the client and the protocol throw: see `toProblem`
   */
  async find(repository: Repository, ref: string, signal: AbortSignal): Promise<FoundCommit> {
    const { credentials, client, config, judge } = this.#options;
    const { provider, url } = repository;
    if (provider === 'zenodo') return { commit: await findRecord(client, url, config.zenodo, signal) };
    const wanted = provider === 'gist' && FIRST_BRANCHES.has(ref) ? 'HEAD' : ref;
    const credential = await credentials.forUrl(url);
    if (isCommit(ref)) {
      await this.#checkReachable(url, credential);
      // Where it leads is asked only where that matters.
      if (judge !== undefined && !url.startsWith('ssh:')) await this.#findByGit(repository, 'HEAD', credential, signal);
      return { commit: ref };
    }
    const find = (name: string) => this.#findBy(repository, name, credential, signal);
    const commit = await find(wanted);
    if (commit !== undefined) return { commit };
    // Links say "main" or "master" of repositories whose first branch is called otherwise by now, or still is.
    const first = provider === 'gh' && FIRST_BRANCHES.has(ref) ? await find('HEAD') : undefined;
    if (first === undefined) throw refNotFound(ref);
    return { commit: first, isFallback: true };
  }

  /** Whether the host gives a commit by its hash; undefined where that is only seen when it is fetched. @throws as `find` */
  async offers(repository: Repository, commit: string, signal: AbortSignal): Promise<boolean | undefined> {
    const credential = await this.#options.credentials.forUrl(repository.url);
    return this.#askGit(repository, commit, credential, (remote) => isOffered(remote, commit), signal);
  }

  /** A commit is not asked for, but its host is held to what the others are. */
  async #checkReachable(url: string, credential: GitCredential | undefined): Promise<void> {
    const { protocol, hostname, port } = new URL(url);
    if (protocol === 'ssh:' && credential === undefined) throw noKey(url);
    await this.#options.guard.check(hostname, Number(port || DEFAULT_PORTS[protocol]));
  }

  #apiOf({ provider }: Repository): HostApiClient | undefined {
    return provider === 'gh' ? this.#github : provider === 'gl' ? this.#gitlab : undefined;
  }

  async #findBy(
    repository: Repository,
    ref: string,
    credential: GitCredential | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const answer = await this.#apiOf(repository)?.find(repository, ref, credential, signal);
    const isAnswered =
      answer !== undefined && 'commit' in answer && (answer.isMoved !== true || this.#options.judge === undefined);
    if (isAnswered && (answer.commit !== undefined || !mayBeShown(ref))) return answer.commit;
    try {
      return await this.#findByGit(repository, ref, credential, signal);
    } catch (error) {
      const problem = toProblem(error, new URL(repository.url).host);
      if (isAnswered && problem.reason !== 'RefNotFound') return undefined;
      // Git itself knows no such limit, so that it is asked where the API is not; if it does not answer either, wait.
      if (answer !== undefined && 'limitedForMs' in answer && problem.transient)
        throw rateLimited(new URL(repository.url).host, answer.limitedForMs);
      throw error;
    }
  }

  #findByGit(
    repository: Repository,
    ref: string,
    credential: GitCredential | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    return this.#askGit(repository, ref, credential, (remote) => findRef(remote, ref), signal);
  }

  /** @param ref what a place that the host sends on to is judged with */
  async #askGit<T>(
    { url }: Repository,
    ref: string,
    credential: GitCredential | undefined,
    question: RemoteQuestion<T>,
    signal: AbortSignal,
  ): Promise<T> {
    if (!url.startsWith('ssh:')) {
      const onFound = (found: string) => this.#options.judge?.(url, found, ref);
      return askOverHttp(this.#options.client, { url, credential, onFound }, question, signal);
    }
    if (credential?.kind !== 'ssh') throw noKey(url);
    // Loaded by those who need it: it takes 15 MB.
    const { askOverSsh } = await import('./ssh-refs.ts');
    return askOverSsh(this.#options.guard, { url, credential }, question, signal);
  }
}

/**
 * Whether Git may show a ref that the API of its host does not know: that of a pull request, or one of a repository in which
 * there is nothing.
 */
function mayBeShown(ref: string): boolean {
  return ref === 'HEAD' || ref.includes('/');
}

function noKey(url: string): BuildProblem {
  return notAllowed(`There is no key for ${new URL(url).host}: give the https address of the repository.`);
}
