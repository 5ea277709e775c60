import { request } from 'undici';

export interface HubAnswer {
  readonly status: number;
  readonly body: unknown;
  /** Seconds. */
  readonly retryAfter: number | undefined;
}

/** A start or a stop is answered when it has come to its end, or after the hub's own patience. */
const ANSWER_MS = 120_000;

/** What is asked of a hub's REST API, with a service's token. */
export class HubApi {
  readonly #url: string;
  readonly #token: string;

  /** @param url address of the hub's proxy */
  constructor(url: string, token: string) {
    this.#url = `${url}/hub/api`;
    this.#token = token;
  }

  /** Whether the hub itself answers. */
  async answers(): Promise<boolean> {
    try {
      return (await this.ask('GET', '')).status === 200;
    } catch {
      return false;
    }
  }

  /** Whether this server is neither running nor on its way up or down. */
  async isStopped(username: string): Promise<boolean> {
    const { body } = await this.ask('GET', `/users/${encodeURIComponent(username)}`);
    const { servers = {} } = body as { servers?: Record<string, { ready: boolean; pending: string | null }> };
    return Object.values(servers).every(({ ready, pending }) => !ready && pending === null);
  }

  /** Asks for the end of a server, also of one that is still on its way. */
  async stopServer(username: string): Promise<number> {
    return (await this.ask('DELETE', `/users/${encodeURIComponent(username)}/server`)).status;
  }

  async activeServers(): Promise<number> {
    const { body } = await this.ask('GET', '/users?state=active');
    return (body as unknown[]).length;
  }

  /** @param json sent as the body */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, json?: unknown): Promise<HubAnswer> {
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' };
    const body = json === undefined ? null : JSON.stringify(json);
    const answer = await request(`${this.#url}${path}`, { method, headers, body, headersTimeout: ANSWER_MS });
    const text = await answer.body.text();
    const retryAfter = Number(answer.headers['retry-after'] ?? Number.NaN);
    return {
      status: answer.statusCode,
      body: text === '' ? null : (JSON.parse(text) as unknown),
      retryAfter: Number.isNaN(retryAfter) ? undefined : retryAfter,
    };
  }
}
