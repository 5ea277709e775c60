import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { BuildsConfig } from '../../config/index.ts';
import { buildsUnreached } from '../../config/builds/repositories.ts';
import { binderSlugOf } from '../../domain/build/binder-slug.ts';
import { BuildProblem, type Repository, type ResolvedRepository } from '../../domain/build/build.ts';
import { isCommit } from '../../domain/git/git-ref.ts';
import { parseRepository } from '../../domain/git/repository.ts';
import { RepositoryPatterns } from '../../domain/git/repository-patterns.ts';
import { raceAbort } from '../../util/abort.ts';
import { inTime } from '../../util/http.ts';
import { Memo } from '../../util/memo.ts';
import { AddressGuard } from '../outbound/address-guard.ts';
import type { Authorities } from '../outbound/authorities.ts';
import { OutboundClient } from '../outbound/outbound-client.ts';
import type { GitCredentials } from './git-credentials.ts';
import { type FoundCommit, GitHosts } from './git-hosts.ts';
import { commitNotOffered, notAllowed, tooManyQuestions, toProblem, unavailable } from './problems.ts';

type RepositoriesConfig = BuildsConfig['repositories'];

export interface RefResolverOptions {
  readonly config: RepositoriesConfig;
  readonly credentials: Pick<GitCredentials, 'forUrl'>;
  readonly logger: Logger;
  /** Which connections may be made; from the configuration when absent. */
  readonly guard?: AddressGuard;
  /** Of the site; none when absent. */
  readonly authorities?: Authorities;
}

const CACHE_SIZE = 10_000;
/** So many times as long as a commit is believed. */
const MISSING_FOR = 12;
const MISSING: ReadonlySet<string> = new Set(['RefNotFound', 'RepositoryNotFound']);
/** Questions at once, to all hosts together. */
const MOST_AT_ONCE = 64;
/** Of these, questions of one user: hosts that never answer, of which anybody can have many, must not take all places. */
const MOST_OF_ONE = 16;

/**
 * Finds the commit that a ref means. However many ask for one ref at once, its host is asked once, and what it said is
 * believed for a moment. Nothing is asked of anybody before the repository is known to be allowed.
 */
export class RefResolver {
  readonly #config: RepositoriesConfig;
  readonly #logger: Logger;
  readonly #client: OutboundClient;
  readonly #hosts: GitHosts;
  readonly #patterns: RepositoryPatterns;
  readonly #commits: Memo<FoundCommit>;
  /** What was said not to be there, for longer than what is: nobody waits for it, and it is asked for again and again. */
  readonly #missing: LRUCache<string, BuildProblem> | undefined;
  /** How many questions somebody has under way. */
  readonly #askers = new Map<string, number>();
  readonly #stop = new AbortController();

  constructor({ config, credentials, logger, guard, authorities }: RefResolverOptions) {
    this.#config = config;
    this.#logger = logger;
    const guarded = guard ?? new AddressGuard(config.privateHosts);
    this.#client = new OutboundClient(guarded, { timeoutMs: config.timeout, authorities });
    this.#patterns = new RepositoryPatterns(config);
    this.#hosts = new GitHosts({
      ...{ config, credentials, guard: guarded, client: this.#client },
      judge: this.#patterns.isOpen ? undefined : (from, to, ref) => this.#checkMoved(from, to, ref),
    });
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
    const found = await this.#commitOf(repository, ref, asker, signal);
    return { ...repository, ref, ...found, binderSlug: binderSlugOf(repository, found.commit) };
  }

  /**
   * Whether the host gives a commit that was asked for by its hash, as far as it says so: it is asked before it is built, and
   * not where the image is there. A host that cannot say it, or not now, leaves it to the build.
   *
   * @throws {BuildProblem} `RefNotFound`, `RepositoryNotFound`, `RepositoryNotAllowed`
   * @throws the signal's reason
   */
  async checkCommit(repository: ResolvedRepository, signal?: AbortSignal, asker?: string): Promise<void> {
    const { provider, url, ref, commit } = repository;
    if (provider === 'zenodo' || !isCommit(ref)) return;
    const key = JSON.stringify(['offered', url, commit]);
    try {
      await this.#once(key, repository, asker, signal, async (wanted) => {
        if ((await this.#hosts.offers(repository, commit, wanted)) === false)
          throw commitNotOffered(commit, new URL(url).host);
        return { commit };
      });
    } catch (error) {
      if (error instanceof BuildProblem && error.transient) return;
      throw error;
    }
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
    if (/^refs\/(?!heads\/|tags\/)/.test(ref) && !buildsUnreached(this.#config)) {
      throw notAllowed('Only branches and tags are built here, and no pull requests.');
    }
    if (!this.#patterns.admits(repository, ref)) {
      throw notAllowed('This repository may not be built here. Ask an administrator.');
    }
  }

  /** Where a host sends on to is held to the same rules: a repository that is denied may have an old name. */
  #checkMoved(from: string, to: string, ref: string): void {
    const [before, now] = [from, to].map((url) => url.replace(/^http:/, 'https:'));
    if (before === now) return;
    this.#checkAllowed(parseRepository(to, this.#config), ref);
  }

  async #commitOf(
    repository: Repository,
    ref: string,
    asker: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<FoundCommit> {
    if (isCommit(ref) && this.#hosts.isKnown(repository) && this.#patterns.isOpen) return { commit: ref };
    const key = JSON.stringify([repository.provider, repository.url, ref]);
    return this.#once(key, repository, asker, signal, (wanted) => this.#hosts.find(repository, ref, wanted));
  }

  /** Asks once for all who want it, and remembers what is not there. */
  async #once(
    key: string,
    repository: Repository,
    asker: string | undefined,
    signal: AbortSignal | undefined,
    find: (signal: AbortSignal) => Promise<FoundCommit>,
  ): Promise<FoundCommit> {
    const missing = this.#missing?.get(key);
    if (missing !== undefined) throw missing;
    return this.#commits.get(key, signal, (wanted) =>
      this.#ask(repository, asker, wanted, find).catch((problem: BuildProblem) => {
        if (MISSING.has(problem.reason)) this.#missing?.set(key, problem);
        throw problem;
      }),
    );
  }

  /** @param wanted aborts when nobody waits for the answer any more */
  async #ask(
    repository: Repository,
    asker: string | undefined,
    wanted: AbortSignal,
    find: (signal: AbortSignal) => Promise<FoundCommit>,
  ): Promise<FoundCommit> {
    const host = hostOf(repository, this.#config);
    if (this.#commits.size >= MOST_AT_ONCE || this.#stop.signal.aborted) throw unavailable(host);
    if (asker !== undefined && (this.#askers.get(asker) ?? 0) >= MOST_OF_ONE) throw tooManyQuestions();
    this.#count(asker, 1);
    try {
      return await inTime(this.#config.timeout, AbortSignal.any([this.#stop.signal, wanted]), (signal) =>
        raceAbort(find(signal), signal),
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
}

function hostOf({ provider, url }: Repository, { zenodo }: RepositoriesConfig): string {
  return new URL(provider === 'zenodo' ? zenodo.doiUrl : url).host;
}
