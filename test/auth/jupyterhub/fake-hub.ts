import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the hub knows of a token. */
export interface FakeHolder {
  readonly kind?: string;
  readonly name: string;
  readonly groups?: readonly string[];
  readonly scopes: readonly string[];
}

interface Code {
  readonly holder: FakeHolder;
  readonly challenge: string;
  readonly redirectUri: string;
}

export const SERVICE_TOKEN = 'canary-of-the-service';
export const CLIENT_ID = 'service-labwright';

/** A JupyterHub's API, as far as Labwright asks it, on a loopback address. */
export class FakeHub implements AsyncDisposable {
  readonly apiUrl: string;
  /** By token. */
  readonly holders = new Map<string, FakeHolder>();
  /** User models by name, as `GET /users/:name` gives them to the service. */
  readonly users = new Map<string, object>();
  /** Every question, as `GET /user`. */
  readonly asked: string[] = [];
  /** Answers instead of the hub when it is set. */
  instead: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** Questions that are being answered now, and the most there ever were at once. */
  atOnce = 0;
  most = 0;
  /** Resolves before each answer. */
  slowness: Promise<unknown> = Promise.resolve();
  readonly #codes = new Map<string, Code>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hub/api`;
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeHub> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FakeHub(server);
  }

  /** What the browser of somebody who is logged in at the hub is sent back to when it asks for a code. */
  authorize(url: string, holder: FakeHolder): string {
    const { searchParams } = new URL(url);
    const read = (name: string) => searchParams.get(name) ?? '';
    if (
      read('client_id') !== CLIENT_ID ||
      read('response_type') !== 'code' ||
      read('code_challenge_method') !== 'S256'
    ) {
      throw new Error(`not a question for a code: ${url}`);
    }
    const code = randomUUID();
    this.#codes.set(code, { holder, challenge: read('code_challenge'), redirectUri: read('redirect_uri') });
    const back = new URL(read('redirect_uri'));
    back.searchParams.set('code', code);
    back.searchParams.set('state', read('state'));
    return back.href;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').replace('/hub/api', '');
    this.asked.push(`${request.method ?? ''} ${path}`);
    this.atOnce += 1;
    this.most = Math.max(this.most, this.atOnce);
    await this.slowness;
    this.atOnce -= 1;
    if (this.instead !== undefined) this.instead(request, response);
    else if (path === '/user') this.#whoAmI(request, response);
    else if (path.startsWith('/users/')) this.#user(decodeURIComponent(path.slice(7)), request, response);
    else if (path === '/oauth2/token') await this.#redeem(request, response);
    else json(response, 404, { status: 404, message: 'Not Found' });
  }

  #whoAmI(request: IncomingMessage, response: ServerResponse): void {
    const holder = this.holders.get(bearer(request));
    if (holder === undefined) return json(response, 403, { status: 403, message: 'Forbidden' });
    return json(response, 200, { kind: 'user', admin: false, session_id: null, token_id: 'a1', ...holder });
  }

  #user(name: string, request: IncomingMessage, response: ServerResponse): void {
    if (bearer(request) !== SERVICE_TOKEN) return json(response, 403, { status: 403, message: 'Forbidden' });
    const model = this.users.get(name);
    return model === undefined
      ? json(response, 404, { status: 404, message: 'Not Found' })
      : json(response, 200, model);
  }

  async #redeem(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const read = (name: string) => form.get(name) ?? '';
    if (read('client_id') !== CLIENT_ID || read('client_secret') !== SERVICE_TOKEN) {
      return json(response, 401, { error: 'invalid_client' });
    }
    const code = this.#codes.get(read('code'));
    this.#codes.delete(read('code'));
    const challenge = createHash('sha256').update(read('code_verifier')).digest('base64url');
    if (code?.challenge !== challenge || code.redirectUri !== read('redirect_uri')) {
      return json(response, 400, { error: 'invalid_grant' });
    }
    const token = `canary-oauth-${randomUUID()}`;
    this.holders.set(token, code.holder);
    return json(response, 200, { access_token: token, token_type: 'Bearer', expires_in: 1209600, scope: 'x' });
  }
}

function bearer(request: IncomingMessage): string {
  return (request.headers.authorization ?? '').replace('Bearer ', '');
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
