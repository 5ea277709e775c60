import type { Logger } from 'pino';
import type { BuildsConfig } from '../../config/index.ts';
import { BuildProblem } from '../../domain/build/build.ts';
import { raceAbort } from '../../util/abort.ts';
import { retry } from '../../util/backoff.ts';
import { withDeadline } from '../../util/deadline.ts';
import { HttpFailure } from '../../util/http.ts';
import { Memo } from '../../util/memo.ts';
import { type ImageReference, parseImageReference } from '../../domain/image/image-reference.ts';
import type { Authorities } from '../outbound/authorities.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { DockerConfig } from './docker-config.ts';
import { parseDockerConfig, type RegistryCredential } from './docker-config.ts';
import { MANIFEST_TYPES, readManifestAnswer } from './manifest-answer.ts';
import { unavailable } from './problems.ts';
import { type RegistryAnswer, RegistryHttp } from './registry-http.ts';
import { basicHeader, deniesPush, RegistryTokens } from './registry-tokens.ts';

export interface RegistryClientOptions {
  readonly config: BuildsConfig['registry'];
  /** Text of a docker `config.json`; null where the registry asks for nothing. */
  readonly credentials: () => Promise<string | null>;
  readonly logger: Logger;
  /** Pause before the second attempt, about, in milliseconds; each further one is twice as long. */
  readonly retryMs?: number;
  /** Of the site; none when absent. */
  readonly authorities?: Authorities;
}

interface Question {
  readonly reference: ImageReference;
  readonly credential: RegistryCredential | undefined;
  readonly signal: AbortSignal;
}

type Shown = 'nothing' | 'credentials' | 'token';

const RETRY = { attempts: 3, firstMs: 200, longestMs: 1_000 };
/** For one question with everything it takes, in answers of the configured time. */
const DEADLINE_ANSWERS = 2;
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_URL = 'https://registry-1.docker.io';

/**
 * Asks the registry whether it has an image, and which. That it is not there, that it may not be seen and that the registry
 * does not answer are three things, and only the first one ever leads to a build.
 */
export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #http: RegistryHttp;
  readonly #tokens: RegistryTokens;
  readonly #closed = new AbortController();
  readonly #shared = new Memo<string | null>();
  /** Where it may be; the first that has answered is kept. */
  #addresses: readonly string[];
  /** What the registry wanted to see when it last asked. */
  #challenge: Challenge | undefined;
  #parsed: { readonly text: string; readonly config: DockerConfig } | undefined;

  constructor(options: RegistryClientOptions) {
    const { host, url, insecure, timeout } = options.config;
    this.#options = options;
    this.#addresses = addressesOf(options.config);
    this.#http = new RegistryHttp({ host, insecure, timeoutMs: timeout, authorities: options.authorities });
    const isPlain = url?.startsWith('http:') ?? false;
    this.#tokens = new RegistryTokens({ http: this.#http, host, insecure: insecure || isPlain });
  }

  async close(): Promise<void> {
    this.#closed.abort(unavailable(this.#options.config.host, 'is not asked any more: Labwright stops'));
    await this.#http.close();
  }

  /**
   * The digest of an image, `sha256:…`, as the registry has it at this moment; null when it is not there. Those who ask for
   * the same at once share one question.
   *
   * @throws {BuildProblem} `RegistryUnavailable` (transient where it may pass by itself), `RegistryDenied`, or what
   * `credentials` throws
   * @throws the reason of the signal
   */
  findDigest(reference: string, signal?: AbortSignal): Promise<string | null> {
    return this.#shared.get(reference, signal, (shared) => this.#find(reference, shared));
  }

  async #find(text: string, signal: AbortSignal): Promise<string | null> {
    const { host, timeout } = this.#options.config;
    const reference = parseImageReference(text);
    if (reference?.registry !== host) {
      throw unavailable(host, 'is not the one that this image is kept in', { transient: false });
    }
    const ms = DEADLINE_ANSWERS * timeout;
    const late = () => unavailable(host, 'does not answer in time');
    return withDeadline({ ms, signal: AbortSignal.any([signal, this.#closed.signal]), late }, (either) => {
      const options = { ...RETRY, firstMs: this.#options.retryMs ?? RETRY.firstMs, endsAt: performance.now() + ms };
      return retry({ ...options, again: (error) => this.#again(error), signal: either }, async () => {
        const credential = await this.#credential(reference, either);
        return this.#ask({ reference, credential, signal: either });
      });
    });
  }

  #again(error: unknown): number | undefined {
    if (!(error instanceof BuildProblem) || !error.transient) return undefined;
    const { message, cause, retryAfterMs = 0 } = error;
    this.#options.logger.debug({ message }, 'the registry was asked in vain');
    // After an answer that came too late there is no time left to ask again.
    return cause instanceof HttpFailure && cause.reason === 'late' ? undefined : retryAfterMs;
  }

  async #credential(
    { registry, repository }: ImageReference,
    signal: AbortSignal,
  ): Promise<RegistryCredential | undefined> {
    const text = await raceAbort(this.#options.credentials(), signal);
    if (text === null) return undefined;
    if (this.#parsed?.text !== text) this.#parsed = { text, config: parseDockerConfig(text) };
    return this.#parsed.config.find(registry, repository);
  }

  async #ask(question: Question): Promise<string | null> {
    const { host } = this.#options.config;
    for (const method of ['HEAD', 'GET'] as const) {
      const { answer, shown } = await this.#show(question, method);
      const context = { host, isHub: host === DOCKER_HUB, shown, hasCredential: question.credential !== undefined };
      const isTokenShort = isDenied(answer) && shown === 'token' && context.hasCredential;
      const pushing = isTokenShort ? await this.#showToPush(question) : undefined;
      if (pushing !== undefined && isDenied(pushing)) return null;
      const [read, by] = pushing === undefined ? [answer, method] : ([pushing, 'GET'] as const);
      const reading = readManifestAnswer(read, by, context);
      if (reading !== 'ask with GET') return reading.digest;
    }
    throw unavailable(host, 'says nothing of the image', { transient: false });
  }

  /**
   * An image that may not be seen by somebody who may push it is not there: so it is with accounts that may push and not read,
   * and with repositories that are made by the first push.
   *
   * @returns the answer to a token for pushing; undefined where that is none
   */
  async #showToPush(question: Question): Promise<RegistryAnswer | undefined> {
    const { reference, credential, signal } = question;
    if (this.#challenge?.scheme !== 'bearer') return undefined;
    const request = { challenge: this.#challenge, repository: reference.repository, credential, push: true, signal };
    this.#tokens.forget(request);
    const token = await this.#tokens.fetch(request);
    return deniesPush(token) ? undefined : this.#send(question, 'GET', { authorization: `Bearer ${token}` });
  }

  /** Asks with what the registry wanted to see last, and when it wants to see something else, with that. */
  async #show(question: Question, method: 'GET' | 'HEAD'): Promise<{ answer: RegistryAnswer; shown: Shown }> {
    const first = this.#remembered(question);
    const answer = await this.#send(question, method, first.header);
    const challenges = answer.status === 401 ? parseChallenges(answer.headers['www-authenticate']) : [];
    const challenge =
      challenges.find(({ scheme }) => scheme === 'bearer') ?? challenges.find(({ scheme }) => scheme === 'basic');
    if (challenge === undefined) return { answer, shown: first.shown };
    this.#challenge = challenge;
    const second = await this.#respond(challenge, question);
    // Nothing to show, or nothing new.
    if (second.header.authorization === undefined || second.header.authorization === first.header.authorization) {
      return { answer, shown: first.shown };
    }
    return { answer: await this.#send(question, method, second.header), shown: second.shown };
  }

  #remembered({ reference, credential }: Question): { header: { authorization?: string }; shown: Shown } {
    const challenge = this.#challenge;
    if (challenge?.scheme === 'basic' && credential?.kind === 'password') {
      return { header: basicHeader(credential), shown: 'credentials' };
    }
    if (challenge?.scheme === 'bearer') {
      const token = this.#tokens.peek({ challenge, repository: reference.repository, credential });
      if (token !== undefined) return { header: { authorization: `Bearer ${token}` }, shown: 'token' };
    }
    return { header: {}, shown: 'nothing' };
  }

  async #respond(
    challenge: Challenge,
    { reference, credential, signal }: Question,
  ): Promise<{ header: { authorization?: string }; shown: Shown }> {
    if (challenge.scheme === 'basic') return { header: basicHeader(credential), shown: 'credentials' };
    if (credential?.kind === 'token') {
      return { header: { authorization: `Bearer ${credential.token}` }, shown: 'credentials' };
    }
    const request = { challenge, repository: reference.repository, credential, signal };
    this.#tokens.forget(request);
    return { header: { authorization: `Bearer ${await this.#tokens.fetch(request)}` }, shown: 'token' };
  }

  async #send(
    { reference, signal }: Question,
    method: 'GET' | 'HEAD',
    header: { readonly authorization?: string },
  ): Promise<RegistryAnswer> {
    const path = `/v2/${reference.repository}/manifests/${reference.digest ?? reference.tag ?? 'latest'}`;
    const headers = { accept: MANIFEST_TYPES.join(', '), ...header };
    const [address = '', ...others] = this.#addresses;
    try {
      const answer = await this.#http.ask(`${address}${path}`, { method, headers, follow: true, signal });
      this.#addresses = [address];
      return answer;
    } catch (error) {
      const [next] = others;
      if (next === undefined || signal.aborted) throw error;
      const answer = await this.#http.ask(`${next}${path}`, { method, headers, follow: true, signal });
      this.#addresses = [next];
      return answer;
    }
  }
}

function isDenied({ status }: RegistryAnswer): boolean {
  return status === 401 || status === 403;
}

/** A registry that need not be encrypted is asked first as if it were, as every client does. */
function addressesOf({ host, url, insecure }: BuildsConfig['registry']): readonly string[] {
  if (url !== undefined) return [url];
  const secure = host === DOCKER_HUB ? DOCKER_HUB_URL : `https://${host}`;
  return insecure ? [secure, `http://${host}`] : [secure];
}
