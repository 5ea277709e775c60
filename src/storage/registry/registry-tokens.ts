import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Challenge } from './challenge.ts';
import type { RegistryCredential } from './docker-config.ts';
import { parseJson } from './parse-json.ts';
import { Memo } from '../../util/memo.ts';
import { denied, foreignTokenServer, unavailable } from './problems.ts';
import { isOutage, type RegistryAnswer, type RegistryHttp, retryAfterMs } from './registry-http.ts';
import { belongsTo, readRealm, type RealmRule } from './token-realm.ts';

/** What a token is wanted for. */
export interface TokenRequest {
  /** A Bearer challenge. */
  readonly challenge: Challenge;
  readonly repository: string;
  readonly credential: RegistryCredential | undefined;
  /** To push to the repository as well. */
  readonly push?: boolean;
  readonly signal: AbortSignal;
}

export interface TokensOptions {
  readonly http: RegistryHttp;
  /** How the registry is called in problems. */
  readonly host: string;
  readonly insecure: boolean;
  /** Which token servers are shown credentials. Anybody's is asked for a token that is for nobody. */
  readonly realms: RealmRule;
}

const TOKENS = 500;
/** The specification's, where the server does not say how long. */
const LIFE_S = 60;
const LONGEST_LIFE_S = 3600;
/** A token is used for this much of its life, so that none ends on the way. */
const USED = 0.75;
const CLIENT = 'labwright';

const tokenAnswer = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.number().positive().optional().catch(undefined),
});
/** What a header can carry. */
const HEADER_TEXT = /^[\x21-\x7e]+$/;

/**
 * Tokens of a registry's token server, kept while they last. The server is where the challenge says it is, which may be
 * another host of the registry's domain (`token-realm.ts`). What is asked for is to pull from the one repository.
 */
export class RegistryTokens {
  readonly #options: TokensOptions;
  /** With the moment, by the monotonic clock, until which each is used. */
  readonly #tokens = new LRUCache<string, { readonly token: string; readonly until: number }>({ max: TOKENS });

  readonly #running = new Memo<string>();

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** A token that is there already. */
  peek(request: Omit<TokenRequest, 'signal'>): string | undefined {
    const found = this.#tokens.get(keyOf(request));
    return found !== undefined && found.until > performance.now() ? found.token : undefined;
  }

  /**
   * A token in place of one that the registry does not take any more: the one that has come meanwhile, or a new one. Those
   * who want it at the same moment fetch one.
   *
   * @param rejected undefined where none was shown
   * @throws {RegistryProblem} `RegistryDenied`, or `RegistryUnavailable` for a token server that does not do its work
   */
  async renew(request: TokenRequest, rejected: string | undefined): Promise<string> {
    const kept = this.peek(request);
    if (kept !== undefined && kept !== rejected) return kept;
    const key = keyOf(request);
    this.#tokens.delete(key);
    return this.#running.get(key, request.signal, (signal) => this.#fetch({ ...request, signal }));
  }

  async #fetch(request: TokenRequest): Promise<string> {
    const { http, host } = this.#options;
    const realm = this.#realm(request);
    const { credential, signal } = request;
    const parameters = parametersOf(request);
    let answer: RegistryAnswer;
    if (credential?.kind === 'identity') {
      const form = { grant_type: 'refresh_token', client_id: CLIENT, refresh_token: credential.token };
      const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' };
      const body = new URLSearchParams({ ...form, ...parameters }).toString();
      answer = await http.ask(realm.href, { method: 'POST', headers, body, follow: false, signal });
    } else {
      for (const [name, value] of Object.entries(parameters)) realm.searchParams.set(name, value);
      const headers = { accept: 'application/json', ...basicHeader(credential) };
      answer = await http.ask(realm.href, { method: 'GET', headers, follow: false, signal });
    }
    const { status } = answer;
    if (status === 400 || status === 401 || status === 403) throw denied(host, credential !== undefined);
    if (status !== 200) {
      const why = `gives no token (its token server answers with ${status})`;
      throw unavailable(host, why, { retryAfterMs: retryAfterMs(answer.headers), transient: isOutage(status) });
    }
    return this.#keep(keyOf(request), answer.body);
  }

  #keep(key: string, body: Buffer): string {
    const parsed = tokenAnswer.safeParse(parseJson(body));
    const { token: own, access_token: oauth } = parsed.data ?? {};
    const token = [own, oauth].find((each) => typeof each === 'string' && each !== '') ?? '';
    if (!HEADER_TEXT.test(token)) throw unavailable(this.#options.host, 'gives no token that can be used');
    const seconds = Math.min(parsed.data?.expires_in ?? LIFE_S, LONGEST_LIFE_S);
    this.#tokens.set(key, { token, until: performance.now() + seconds * 1000 * USED });
    return token;
  }

  /** It must not be sent anything in plain text, unless the whole registry is asked so. */
  #realm({ challenge, credential }: TokenRequest): URL {
    const { host, insecure, realms } = this.#options;
    const realm = readRealm(challenge, insecure);
    if (realm === undefined) {
      const why = 'wants its token to be fetched from an address that is not safe';
      throw unavailable(host, why, { transient: false });
    }
    if (credential !== undefined && !belongsTo(realm, realms)) throw foreignTokenServer(host, realm.host);
    return realm;
  }
}

/** The Authorization header of a name and password. */
export function basicHeader(credential: RegistryCredential | undefined): { authorization?: string } {
  if (credential?.kind !== 'password') return {};
  const pair = Buffer.from(`${credential.username}:${credential.password}`).toString('base64');
  return { authorization: `Basic ${pair}` };
}

/** The scope is the registry's, which may know the repository by another name; ours where it names none. */
function parametersOf({ challenge, repository, push = false }: Omit<TokenRequest, 'signal'>) {
  const { service, scope } = challenge.parameters;
  const pull = scope === undefined || scope.trim() === '' ? `repository:${repository}:pull` : scope;
  return { ...(service === undefined ? {} : { service }), scope: push ? pull.replace(/:pull$/, ':pull,push') : pull };
}

/** Whether a token says that it is not for pushing. Tokens that cannot be read say nothing. */
export function deniesPush(token: string): boolean {
  const claims = parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url'));
  const { access } = (claims ?? {}) as { readonly access?: unknown };
  if (!Array.isArray(access)) return false;
  return !access.some((entry: { readonly actions?: unknown } | null) => {
    const actions = entry?.actions;
    return Array.isArray(actions) && (actions.includes('push') || actions.includes('*'));
  });
}

/** Not by the scope: who looks for a token has not been told one. */
function keyOf({ challenge, repository, credential, push = false }: Omit<TokenRequest, 'signal'>): string {
  const { realm, service } = challenge.parameters;
  return JSON.stringify([realm, service, repository, credential, push]);
}
