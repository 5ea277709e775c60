import type { Logger } from 'pino';
import { raceAbort } from '../../util/abort.ts';
import { retry } from '../../util/backoff.ts';
import { withDeadline } from '../../util/deadline.ts';
import { HttpFailure } from '../../util/http.ts';
import type { Authorities } from '../outbound/authorities.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { type DockerConfig, parseDockerConfig, type RegistryCredential } from './docker-config.ts';
import { RegistryProblem, unavailable } from './problems.ts';
import { type RegistryAnswer, RegistryHttp } from './registry-http.ts';
import { basicHeader, RegistryTokens } from './registry-tokens.ts';

/** A registry, and how it is reached. */
export interface RegistrySettings {
  /** As image references have it; `docker.io` for Docker Hub. */
  readonly host: string;
  /** Where its API is; `https://<host>` when absent. */
  readonly url?: string | undefined;
  /** Plain HTTP, or a certificate that nobody vouches for. */
  readonly insecure: boolean;
  /** Milliseconds for one answer. */
  readonly timeout: number;
  /** Hosts of token servers that are shown its credentials besides those of its own domain: see `token-realm.ts`. */
  readonly tokenHosts?: readonly string[] | undefined;
}

export interface RegistryConnectionOptions {
  readonly settings: RegistrySettings;
  /** Text of a docker `config.json`; null where the registry asks for nothing. */
  readonly credentials: () => Promise<string | null>;
  readonly logger: Logger;
  /** Pause before the second attempt, about, in milliseconds; each further one is twice as long. */
  readonly retryMs?: number | undefined;
  /** Of the site; none when absent. */
  readonly authorities?: Authorities | undefined;
}

/** One question to the registry, on behalf of one repository. */
export interface RegistryQuestion {
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  /** After the address of the registry, with the query: `/v2/labs/a/tags/list`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly credential: RegistryCredential | undefined;
  readonly signal: AbortSignal;
}

export interface RegistryReply {
  readonly answer: RegistryAnswer;
  /** What the registry was shown at last. */
  readonly shown: 'nothing' | 'credentials' | 'token';
  /** What it wanted to be shown when it last said so. */
  readonly challenge: Challenge | undefined;
}

interface Proof {
  readonly authorization: string | undefined;
  readonly shown: RegistryReply['shown'];
}

export interface Attempts {
  /** Milliseconds for everything together. */
  readonly ms: number;
  readonly attempts: number;
  readonly firstMs: number;
  readonly longestMs: number;
  /** Whether it is tried again after an answer that came too late. */
  readonly afterLate: boolean;
}

export const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_URL = 'https://registry-1.docker.io';
const NOTHING: Proof = { authorization: undefined, shown: 'nothing' };

/**
 * Asks one registry, and shows it what it wants to see: name and password, or tokens that are renewed when they are not
 * taken any more.
 */
export class RegistryConnection {
  readonly #options: RegistryConnectionOptions;
  readonly #http: RegistryHttp;
  readonly #tokens: RegistryTokens;
  readonly #closed = new AbortController();
  /** Where it may be; the first that has answered is kept. */
  #addresses: readonly string[];
  /** What the registry wanted to see when it last asked. */
  #challenge: Challenge | undefined;
  #parsed: { readonly text: string; readonly config: DockerConfig } | undefined;

  constructor(options: RegistryConnectionOptions) {
    const { host, url, insecure, timeout, tokenHosts = [] } = options.settings;
    this.#options = options;
    this.#addresses = addressesOf(options.settings);
    this.#http = new RegistryHttp({ host, insecure, timeoutMs: timeout, authorities: options.authorities });
    const isPlain = url?.startsWith('http:') ?? false;
    const hosts = [host, ...this.#addresses.map((address) => new URL(address).host)];
    const realms = { hosts, tokenHosts };
    this.#tokens = new RegistryTokens({ http: this.#http, host, insecure: insecure || isPlain, realms });
  }

  get host(): string {
    return this.#options.settings.host;
  }

  /** Where the registry is asked now. */
  get address(): string {
    return this.#addresses[0] ?? '';
  }

  async close(): Promise<void> {
    this.#closed.abort(unavailable(this.host, 'is not asked any more: Labwright stops'));
    await this.#http.close();
  }

  /** Does something that has a deadline and ends when the connection is closed. */
  within<T>(ms: number, signal: AbortSignal, work: (signal: AbortSignal, endsAt: number) => Promise<T>): Promise<T> {
    const late = () => unavailable(this.host, 'does not answer in time');
    const endsAt = performance.now() + ms;
    return withDeadline({ ms, signal: AbortSignal.any([signal, this.#closed.signal]), late }, (either) =>
      work(either, endsAt),
    );
  }

  /** Does something again that has failed and may pass, until the moment of the monotonic clock. */
  again<T>(
    attempts: Omit<Attempts, 'ms'> & { readonly endsAt: number; readonly signal: AbortSignal },
    attempt: () => Promise<T>,
  ): Promise<T> {
    const firstMs = this.#options.retryMs ?? attempts.firstMs;
    const again = (error: unknown) => this.#pauseAfter(error, attempts.afterLate);
    return retry({ ...attempts, firstMs, again }, attempt);
  }

  #pauseAfter(error: unknown, afterLate: boolean): number | undefined {
    if (!(error instanceof RegistryProblem) || !error.transient) return undefined;
    const { message, cause, retryAfterMs = 0 } = error;
    this.#options.logger.debug({ message }, 'the registry was asked in vain');
    return !afterLate && cause instanceof HttpFailure && cause.reason === 'late' ? undefined : retryAfterMs;
  }

  /** What the registry is shown for a repository. @throws what `credentials` throws */
  async credential(repository: string, signal: AbortSignal): Promise<RegistryCredential | undefined> {
    const text = await raceAbort(this.#options.credentials(), signal);
    if (text === null) return undefined;
    if (this.#parsed?.text !== text) this.#parsed = { text, config: parseDockerConfig(text) };
    return this.#parsed.config.find(this.host, repository);
  }

  /**
   * Asks with what the registry wanted to see last, and when it wants to see something else, with that.
   *
   * @returns also an answer of 401, where there is nothing else to show
   * @throws {RegistryProblem}
   */
  async ask(question: RegistryQuestion): Promise<RegistryReply> {
    const first = this.#remembered(question);
    const answer = await this.#send(question, first);
    const mayAsk = answer.status === 401 && !answer.isElsewhere;
    const challenges = mayAsk ? parseChallenges(answer.headers['www-authenticate']) : [];
    const challenge =
      challenges.find(({ scheme }) => scheme === 'bearer') ?? challenges.find(({ scheme }) => scheme === 'basic');
    if (challenge === undefined) return { answer, shown: first.shown, challenge: this.#challenge };
    this.#challenge = withoutScope(challenge);
    const second = await this.#respond(challenge, question, first);
    // Nothing to show, or nothing new.
    if (second.authorization === undefined || second.authorization === first.authorization) {
      return { answer, shown: first.shown, challenge };
    }
    return { answer: await this.#send(question, second), shown: second.shown, challenge };
  }

  /**
   * Asks with a new token for pushing.
   *
   * @returns undefined where the token is not good for the purpose
   */
  async askToPush(
    question: RegistryQuestion,
    challenge: Challenge,
    isGood: (token: string) => boolean,
  ): Promise<RegistryAnswer | undefined> {
    const request = { ...question, challenge, push: true };
    const token = await this.#tokens.renew(request, this.#tokens.peek(request));
    return isGood(token) ? this.#send(question, bearer(token)) : undefined;
  }

  #remembered({ repository, credential }: RegistryQuestion): Proof {
    const challenge = this.#challenge;
    if (challenge?.scheme === 'basic' && credential?.kind === 'password') return basic(credential);
    if (challenge?.scheme !== 'bearer') return NOTHING;
    const token = this.#tokens.peek({ challenge, repository, credential });
    return token === undefined ? NOTHING : bearer(token);
  }

  async #respond(challenge: Challenge, question: RegistryQuestion, rejected: Proof): Promise<Proof> {
    const { repository, credential, signal } = question;
    if (challenge.scheme === 'basic') return basic(credential);
    if (credential?.kind === 'token') return { ...bearer(credential.token), shown: 'credentials' };
    const request = { challenge, repository, credential, signal };
    return bearer(await this.#tokens.renew(request, tokenOf(rejected)));
  }

  async #send({ method, path, headers, signal }: RegistryQuestion, { authorization }: Proof): Promise<RegistryAnswer> {
    const all = { ...headers, ...(authorization === undefined ? {} : { authorization }) };
    const send = (address: string) =>
      this.#http.ask(`${address}${path}`, { method, headers: all, follow: true, signal });
    const [address = '', ...others] = this.#addresses;
    try {
      const answer = await send(address);
      this.#addresses = [address];
      return answer;
    } catch (error) {
      const [next] = others;
      if (next === undefined || signal.aborted) throw error;
      const answer = await send(next);
      this.#addresses = [next];
      return answer;
    }
  }
}

/** What is remembered is for all repositories; a scope is of one. */
function withoutScope({ scheme, parameters }: Challenge): Challenge {
  return { scheme, parameters: Object.fromEntries(Object.entries(parameters).filter(([name]) => name !== 'scope')) };
}

function basic(credential: RegistryCredential | undefined): Proof {
  return { authorization: basicHeader(credential).authorization, shown: 'credentials' };
}

function bearer(token: string): Proof {
  return { authorization: `Bearer ${token}`, shown: 'token' };
}

function tokenOf({ authorization, shown }: Proof): string | undefined {
  return shown === 'token' ? authorization?.slice('Bearer '.length) : undefined;
}

/** A registry that need not be encrypted is asked first as if it were, as every client does. */
function addressesOf({ host, url, insecure }: RegistrySettings): readonly string[] {
  if (url !== undefined) return [url];
  const secure = host === DOCKER_HUB ? DOCKER_HUB_URL : `https://${host}`;
  return insecure ? [secure, `http://${host}`] : [secure];
}
