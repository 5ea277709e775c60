import { request } from 'undici';

/** What a run asks of the hub's REST API, with a service's token. */
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
      return (await this.#ask('GET', '')).status === 200;
    } catch {
      return false;
    }
  }

  /** Whether this server is neither running nor on its way up or down. */
  async isStopped(username: string): Promise<boolean> {
    const { body } = await this.#ask('GET', `/users/${encodeURIComponent(username)}`);
    const { servers = {} } = body as { servers?: Record<string, { ready: boolean; pending: string | null }> };
    return Object.values(servers).every(({ ready, pending }) => !ready && pending === null);
  }

  /** Asks for the end of a server, also of one that is still on its way. */
  async stopServer(username: string): Promise<number> {
    return (await this.#ask('DELETE', `/users/${encodeURIComponent(username)}/server`)).status;
  }

  async activeServers(): Promise<number> {
    const { body } = await this.#ask('GET', '/users?state=active');
    return (body as unknown[]).length;
  }

  async #ask(method: 'GET' | 'DELETE', path: string): Promise<{ status: number; body: unknown }> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const answer = await request(`${this.#url}${path}`, { method, headers, headersTimeout: 30_000 });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: text === '' ? null : (JSON.parse(text) as unknown) };
  }
}
