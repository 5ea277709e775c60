import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface FakeContainer {
  readonly id: string;
  readonly name: string;
  readonly body: { readonly Labels?: Record<string, string> };
  status: 'created' | 'running' | 'exited';
  exitCode: number;
}

/** Answers with a status, or breaks the connection. */
export type Fault = number | 'reset';

/** As much of Docker's API as a build takes, in memory, with faults. It knows no more of containers than their state. */
export class FakeEngine {
  readonly containers = new Map<string, FakeContainer>();
  /** `POST /containers/create`, in the order in which they came, without the version. */
  readonly requests: string[] = [];
  readonly uploads: Buffer[] = [];
  readonly images = new Set(['registry.example.org/builder:1']);
  readonly pulls: (string | undefined)[] = [];
  /** Raw bytes of every log. */
  log: Buffer = Buffer.alloc(0);
  version: object = { ApiVersion: '1.45', MinAPIVersion: '1.24', Components: [{ Name: 'Engine' }] };
  /** What happens to the next request that begins like this. */
  readonly faults = new Map<string, Fault>();
  /** Whether images are fetched until `releasePulls`, as over a slow line. */
  holdsPulls = false;
  readonly #heldPulls = new Set<() => void>();
  readonly #listeners = new Set<ServerResponse>();
  #next = 1;

  readonly handle: RequestListener = (request, response) => void this.#answer(request, response);

  get listeners(): number {
    return this.#listeners.size;
  }

  /** Pulls that are held and whose client still waits for them. */
  get heldPulls(): number {
    return this.#heldPulls.size;
  }

  releasePulls(): void {
    this.holdsPulls = false;
    for (const go of [...this.#heldPulls]) go();
  }

  end(id: string, exitCode: number): void {
    const container = this.#find(id);
    if (container === undefined) return;
    Object.assign(container, { status: 'exited', exitCode });
    this.#tell('die', container);
  }

  /** Ends the streams of events. */
  hangUp(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener.end();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://engine');
    const line = `${request.method} ${pathname.replace(/^\/v[\d.]+/, '')}`;
    this.requests.push(line);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const fault = this.#takeFault(line);
    if (fault === 'reset') response.destroy();
    else if (fault !== undefined) send(response, fault, { message: 'no' });
    else this.#route(line, searchParams, Buffer.concat(chunks), request, response);
  }

  #route(line: string, query: URLSearchParams, body: Buffer, request: IncomingMessage, response: ServerResponse): void {
    const [, name = '', verb = ''] = /^\w+ \/containers\/([^/]+)\/?(\w*)$/.exec(line) ?? [];
    if (line === 'GET /version') return send(response, 200, this.version);
    if (line === 'GET /events') return this.#listen(response);
    if (line === 'POST /images/create') return this.#pull(query.get('fromImage') ?? '', request, response);
    if (line === 'GET /containers/json') return send(response, 200, [...this.containers.values()].map(listed));
    if (line === 'POST /containers/create') return this.#create(query.get('name') ?? '', body, response);
    const container = this.#find(name);
    if (container === undefined) return send(response, 404, { message: 'No such container' });
    if (request.method === 'DELETE') {
      this.containers.delete(container.id);
      this.#tell('destroy', container);
      return send(response, 204);
    }
    switch (verb) {
      case 'json':
        return send(response, 200, inspected(container));
      case 'archive':
        this.uploads.push(body);
        return send(response, 200);
      case 'start':
        container.status = 'running';
        this.#tell('start', container);
        return send(response, 204);
      case 'kill':
        if (container.status !== 'running') return send(response, 409, { message: 'is not running' });
        this.end(container.id, 137);
        return send(response, 204);
      case 'logs':
        response.writeHead(200).end(this.log);
        return;
      default:
        return send(response, 404, { message: 'page not found' });
    }
  }

  #create(name: string, body: Buffer, response: ServerResponse): void {
    const parsed = JSON.parse(body.toString()) as FakeContainer['body'] & { Image: string };
    if (!this.images.has(parsed.Image)) return send(response, 404, { message: 'No such image' });
    if (this.#find(name) !== undefined) return send(response, 409, { message: 'name in use' });
    const id = String(this.#next++).padStart(64, '0');
    this.containers.set(id, { id, name, body: parsed, status: 'created', exitCode: 0 });
    send(response, 201, { Id: id });
  }

  #pull(image: string, request: IncomingMessage, response: ServerResponse): void {
    this.pulls.push(request.headers['x-registry-auth'] as string | undefined);
    const isThere = image.startsWith('registry.example.org/');
    response.writeHead(200);
    response.write('{"status":"Pulling"}\n');
    const go = () => {
      this.#heldPulls.delete(go);
      if (isThere) this.images.add(image);
      response.end(isThere ? '{"status":"Done"}\n' : '{"error":"manifest unknown"}\n');
    };
    if (!this.holdsPulls) return go();
    this.#heldPulls.add(go);
    response.once('close', () => this.#heldPulls.delete(go));
  }

  #listen(response: ServerResponse): void {
    this.#listeners.add(response);
    response.once('close', () => this.#listeners.delete(response));
    response.writeHead(200).flushHeaders();
  }

  #tell(Action: string, { id }: FakeContainer): void {
    for (const listener of this.#listeners) {
      listener.write(`${JSON.stringify({ Type: 'container', Action, Actor: { ID: id } })}\n`);
    }
  }

  #find(name: string): FakeContainer | undefined {
    return this.containers.get(name) ?? [...this.containers.values()].find((each) => each.name === name);
  }

  #takeFault(line: string): Fault | undefined {
    const found = [...this.faults].find(([start]) => line.startsWith(start));
    if (found !== undefined) this.faults.delete(found[0]);
    return found?.[1];
  }
}

/** Serves it on a Unix socket. */
export async function serveEngine(engine: FakeEngine): Promise<{ address: string; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-engine-'));
  const socket = join(folder, 'engine.sock');
  const server = createServer(engine.handle);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const close = async () => {
    await closeServer(server);
    await rm(folder, { recursive: true, force: true });
  };
  return { address: `unix://${socket}`, close };
}

export async function closeServer(server: Pick<Server, 'close' | 'closeAllConnections'>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

function listed({ id, status, body }: FakeContainer): object {
  return { Id: id, State: status, Created: Math.floor(Date.now() / 1000), Labels: body.Labels };
}

function inspected({ id, status, exitCode, body }: FakeContainer): object {
  const times = { StartedAt: '2026-01-01T00:00:00.5Z', FinishedAt: '2026-01-01T00:00:01Z' };
  return {
    Id: id,
    Config: { Labels: body.Labels },
    State: { Status: status, ExitCode: exitCode, OOMKilled: false, ...times },
  };
}

function send(response: ServerResponse, status: number, body?: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
