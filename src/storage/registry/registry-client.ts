import type { BuildsConfig } from '../../config/index.ts';
import { type ImageReference, parseImageReference } from '../../domain/image/image-reference.ts';
import { Memo } from '../../util/memo.ts';
import { MANIFEST_TYPES, readManifestAnswer } from './manifest-answer.ts';
import { unavailable } from './problems.ts';
import {
  DOCKER_HUB,
  RegistryConnection,
  type RegistryConnectionOptions,
  type RegistryQuestion,
  type RegistryReply,
} from './registry-connection.ts';
import type { RegistryAnswer } from './registry-http.ts';
import { deniesPush } from './registry-tokens.ts';

export interface RegistryClientOptions extends Omit<RegistryConnectionOptions, 'settings'> {
  readonly config: BuildsConfig['registry'];
}

const RETRY = { attempts: 3, firstMs: 200, longestMs: 1_000, afterLate: false };
/** For one question with everything it takes, in answers of the configured time. */
const DEADLINE_ANSWERS = 2;

/**
 * Asks the registry of builds whether it has an image, and which. That it is not there, that it may not be seen and that the
 * registry does not answer are three things, and only the first one ever leads to a build.
 */
export class RegistryClient {
  readonly #config: BuildsConfig['registry'];
  readonly #connection: RegistryConnection;
  readonly #shared = new Memo<string | null>();

  constructor({ config, ...options }: RegistryClientOptions) {
    this.#config = config;
    this.#connection = new RegistryConnection({ ...options, settings: config });
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /**
   * The digest of an image, `sha256:…`, as the registry has it at this moment; null when it is not there. Those who ask for
   * the same at once share one question.
   *
   * @throws {RegistryProblem} `RegistryUnavailable` (transient where it may pass by itself), `RegistryDenied`, or what
   * `credentials` throws
   * @throws the reason of the signal
   */
  findDigest(reference: string, signal?: AbortSignal): Promise<string | null> {
    return this.#shared.get(reference, signal, (shared) => this.#find(reference, shared));
  }

  async #find(text: string, signal: AbortSignal): Promise<string | null> {
    const { host, timeout } = this.#config;
    const reference = parseImageReference(text);
    if (reference?.registry !== host) {
      throw unavailable(host, 'is not the one that this image is kept in', { transient: false });
    }
    // After an answer that came too late there is no time left to ask again.
    return this.#connection.within(DEADLINE_ANSWERS * timeout, signal, (either, endsAt) =>
      this.#connection.again({ ...RETRY, endsAt, signal: either }, () => this.#ask(reference, either)),
    );
  }

  async #ask(reference: ImageReference, signal: AbortSignal): Promise<string | null> {
    const { host } = this.#config;
    const { repository, digest, tag } = reference;
    const credential = await this.#connection.credential(repository, signal);
    for (const method of ['HEAD', 'GET'] as const) {
      const path = `/v2/${repository}/manifests/${digest ?? tag ?? 'latest'}`;
      const headers = { accept: MANIFEST_TYPES.join(', ') };
      const question: RegistryQuestion = { method, repository, path, headers, credential, signal };
      const reply = await this.#connection.ask(question);
      const { answer, shown } = reply;
      const context = { host, isHub: host === DOCKER_HUB, shown, hasCredential: credential !== undefined };
      const isTokenShort = isDenied(answer) && shown === 'token' && context.hasCredential;
      const pushing = isTokenShort ? await this.#askToPush(question, reply) : undefined;
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
  async #askToPush(
    question: RegistryQuestion,
    { challenge }: Pick<RegistryReply, 'challenge'>,
  ): Promise<RegistryAnswer | undefined> {
    if (challenge?.scheme !== 'bearer') return undefined;
    return this.#connection.askToPush({ ...question, method: 'GET' }, challenge, (token) => !deniesPush(token));
  }
}

function isDenied({ status }: RegistryAnswer): boolean {
  return status === 401 || status === 403;
}
