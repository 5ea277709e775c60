import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { BuildsConfig } from '../../config/index.ts';
import { binderSlugOf } from '../../domain/build/binder-slug.ts';
import type { BuildProblem, Repository, ResolvedRepository } from '../../domain/build/build.ts';
import type { GitCredential } from '../../domain/git/git-credential.ts';
import { isCommit } from '../../domain/git/git-ref.ts';
import { parseRepository } from '../../domain/git/repository.ts';
import { RepositoryPatterns } from '../../domain/git/repository-patterns.ts';
import { raceAbort } from '../../util/abort.ts';
import { inTime } from '../../util/http.ts';
import { Memo } from '../../util/memo.ts';
import { AddressGuard } from '../outbound/address-guard.ts';
import { OutboundClient } from '../outbound/outbound-client.ts';
import type { GitCredentials } from './git-credentials.ts';
import { HostApiClient } from './host-api.ts';
import { findHttpRef, type HttpQuestion } from './http-refs.ts';
import { githubApi, gitlabApi } from './known-apis.ts';
import { notAllowed, rateLimited, refNotFound, tooManyQuestions, toProblem, unavailable } from './problems.ts';
import { findRecord } from './zenodo.ts';

type RepositoriesConfig = BuildsConfig['repositories'];

export interface RefResolverOptions {
  readonly config: RepositoriesConfig;
  readonly credentials: Pick<GitCredentials, 'forUrl'>;
  readonly logger: Logger;
  /** Which connections may be made; from the configuration when absent. */
  readonly guard?: AddressGuard;
}

const CACHE_SIZE = 10_000;
/** So many times as long as a commit is believed. */
const MISSING_FOR = 12;
const MISSING: ReadonlySet<string> = new Set(['RefNotFound', 'RepositoryNotFound']);
/** Questions at once, to all hosts together. */
const MOST_AT_ONCE = 64;
/** Of these, questions of one user: hosts that never answer, of which anybody can have many, must not take all places. */
const MOST_OF_ONE = 16;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443', 'ssh:': '22' };
/** Names that the first branch of a repository has; of a gist it is the only one. It is what `HEAD` is. */
const FIRST_BRANCHES = new Set(['main', 'master']);

/**
 * Finds the commit that a ref means. However many ask for one ref at once, its host is asked once, and what it said is
 * believed for a moment. Nothing is asked of anybody before the repository is known to be allowed.
 */
export class RefResolver {
  readonly #config: RepositoriesConfig;
  readonly #credentials: RefResolverOptions['credentials'];
  readonly #logger: Logger;
  readonly #guard: AddressGuard;
  readonly #client: OutboundClient;
  readonly #github: HostApiClient;
  readonly #gitlab: HostApiClient;
  readonly #patterns: RepositoryPatterns;
  readonly #commits: Memo<string>;
  /** What was said not to be there, for longer than what is: nobody waits for it, and it is asked for again and again. */
  readonly #missing: LRUCache<string, BuildProblem> | undefined;
  /** How many questions somebody has under way. */
  readonly #askers = new Map<string, number>();
  readonly #stop = new AbortController();

  constructor({ config, credentials, logger, guard }: RefResolverOptions) {
    this.#config = config;
    this.#credentials = credentials;
    this.#logger = logger;
    this.#guard = guard ?? new AddressGuard(config.privateHosts);
    this.#client = new OutboundClient(this.#guard, { timeoutMs: config.timeout });
    this.#github = new HostApiClient(this.#client, githubApi(config.github));
    this.#gitlab = new HostApiClient(this.#client, gitlabApi(config.gitlab));
    this.#patterns = new RepositoryPatterns(config);
    this.#commits = new Memo({ keepMs: config.refCache, max: CACHE_SIZE });
    const ttl = config.refCache * MISSING_FOR;
    this.#missing = ttl === 0 ? undefined : new LRUCache({ max: CACHE_SIZE, ttl, ttlResolution: 0, perf: performance });
  }

  /**
   * @param asker the user for whom it is asked; absent for somebody who asks for many
   * @param ref as `parseRef` gives it. A full commit hash is used as it is, and the repository is not asked whether it has
   * it: that is seen when it is fetched
   * @throws {BuildProblem} `RepositoryNotAllowed`, `RepositoryNotFound`, `RefNotFound`, `RepositoryInvalid`, `MissingSecret`;
   * transient: `RateLimited`, `RepositoryUnavailable`, `QueueFull`
   * @throws the signal's reason
   */
  async resolve(
    repository: Repository,
    ref: string,
    signal?: AbortSignal,
    asker?: string,
  ): Promise<ResolvedRepository> {
    signal?.throwIfAborted();
    this.#checkAllowed(repository, ref);
    const commit = await this.#commitOf(repository, ref, asker, signal);
    return { ...repository, ref, commit, binderSlug: binderSlugOf(repository, commit) };
  }

  /** Ends every question. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the resolver of refs has been closed'));
    await this.#commits.settled();
    await this.#client.close();
  }

  /** @throws {BuildProblem} */
  #checkAllowed(repository: Repository, ref: string): void {
    if (!this.#config.providers.includes(repository.provider)) {
      throw notAllowed('Repositories of this kind are not built here.');
    }
    if (!this.#patterns.admits(repository, ref)) {
      throw notAllowed('This repository may not be built here. Ask an administrator.');
    }
  }

  /** Where a host sends on to is held to the same rules: a repository that is denied may have an old name. */
  #checkMoved(from: string, to: string, ref: string): void {
    const [before, now] = [from, to].map((url) => url.replace(/^http:/, 'https:'));
    if (before === now || this.#patterns.isOpen) return;
    this.#checkAllowed(parseRepository(to, this.#config), ref);
  }

  async #commitOf(
    repository: Repository,
    ref: string,
    asker: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    // The known hosts are those of the configuration; any other may be none that a build may reach.
    const isKnownHost = repository.provider === 'gist' || this.#apiOf(repository) !== undefined;
    if (isCommit(ref) && isKnownHost && this.#patterns.isOpen) return ref;
    const key = JSON.stringify([repository.provider, repository.url, ref]);
    const missing = this.#missing?.get(key);
    if (missing !== undefined) throw missing;
    return this.#commits.get(key, signal, (wanted) =>
      this.#ask(repository, ref, asker, wanted).catch((problem: BuildProblem) => {
        if (MISSING.has(problem.reason)) this.#missing?.set(key, problem);
        throw problem;
      }),
    );
  }

  /** @param wanted aborts when nobody waits for the answer any more */
  async #ask(repository: Repository, ref: string, asker: string | undefined, wanted: AbortSignal): Promise<string> {
    const host = hostOf(repository, this.#config);
    if (this.#commits.size >= MOST_AT_ONCE || this.#stop.signal.aborted) throw unavailable(host);
    if (asker !== undefined && (this.#askers.get(asker) ?? 0) >= MOST_OF_ONE) throw tooManyQuestions();
    this.#count(asker, 1);
    try {
      return await inTime(this.#config.timeout, AbortSignal.any([this.#stop.signal, wanted]), (signal) =>
        raceAbort(this.#find(repository, ref, signal), signal),
      );
    } catch (error) {
      const problem = toProblem(error, host);
      if (!wanted.aborted) {
        this.#logger.info({ host, reason: problem.reason, err: problem.cause }, 'A ref was not resolved');
      }
      throw problem;
    } finally {
      this.#count(asker, -1);
    }
  }

  #count(asker: string | undefined, change: 1 | -1): void {
    if (asker === undefined) return;
    const count = (this.#askers.get(asker) ?? 0) + change;
    if (count === 0) this.#askers.delete(asker);
    else this.#askers.set(asker, count);
  }

  async #find(repository: Repository, ref: string, signal: AbortSignal): Promise<string> {
    const { provider, url } = repository;
    if (provider === 'zenodo') return findRecord(this.#client, url, this.#config.zenodo, signal);
    const wanted = provider === 'gist' && FIRST_BRANCHES.has(ref) ? 'HEAD' : ref;
    const credential = await this.#credentials.forUrl(url);
    if (isCommit(ref)) {
      await this.#checkReachable(url, credential);
      // Where it leads is asked only where that matters.
      if (!this.#patterns.isOpen && !url.startsWith('ssh:'))
        await this.#findByHttp({ url, ref: 'HEAD', credential }, signal);
      return ref;
    }
    const find = (name: string) => this.#findBy(repository, name, credential, signal);
    let commit = await find(wanted);
    // Links say "main" or "master" of repositories whose first branch is called otherwise by now, or still is.
    if (commit === undefined && provider === 'gh' && FIRST_BRANCHES.has(ref)) commit = await find('HEAD');
    if (commit === undefined) throw refNotFound(ref);
    return commit;
  }

  /** A commit is not asked for, but its host is held to what the others are. */
  async #checkReachable(url: string, credential: GitCredential | undefined): Promise<void> {
    const { protocol, hostname, port } = new URL(url);
    if (protocol === 'ssh:' && credential === undefined) throw noKey(url);
    await this.#guard.check(hostname, Number(port || DEFAULT_PORTS[protocol]));
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
    const { url } = repository;
    const answer = await this.#apiOf(repository)?.find(repository, ref, credential, signal);
    if (answer !== undefined && 'commit' in answer && (answer.isMoved !== true || this.#patterns.isOpen))
      return answer.commit;
    if (url.startsWith('ssh:')) {
      if (credential?.kind !== 'ssh') throw noKey(url);
      // Loaded by those who need it: it takes 15 MB.
      const { findSshRef } = await import('./ssh-refs.ts');
      return findSshRef(this.#guard, { url, ref, credential }, signal);
    }
    try {
      return await this.#findByHttp({ url, ref, credential }, signal);
    } catch (error) {
      // Git itself knows no such limit, so that it is asked where the API is not; if it does not answer either, wait.
      const { host } = new URL(url);
      if (answer !== undefined && 'limitedForMs' in answer && toProblem(error, host).transient)
        throw rateLimited(host, answer.limitedForMs);
      throw error;
    }
  }

  #findByHttp(question: HttpQuestion, signal: AbortSignal): Promise<string | undefined> {
    const { url, ref } = question;
    return findHttpRef(this.#client, { ...question, onFound: (found) => this.#checkMoved(url, found, ref) }, signal);
  }
}

function noKey(url: string): BuildProblem {
  return notAllowed(`There is no key for ${new URL(url).host}: give the https address of the repository.`);
}

function hostOf({ provider, url }: Repository, { zenodo }: RepositoriesConfig): string {
  return new URL(provider === 'zenodo' ? zenodo.doiUrl : url).host;
}
