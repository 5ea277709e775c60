import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { LabEvent, LabState } from '../../../src/domain/lab/lab.ts';
import { type RunningServer, startServer } from '../../../src/routes/server/server.ts';
import { aLabState, eventsOf, fakeLabs, IMAGE, testApp, TOKENS } from '../support.ts';

/**
 * The conversation of Nublado's hub plugin with its controller, request by request as the plugin's HTTP library puts it on
 * the wire, against a controller that remembers one lab.
 */
const events: LabEvent[] = [
  { id: '1', type: 'info', message: 'Starting lab creation for ada', progress: 1 },
  { id: '2', type: 'info', message: 'Created Kubernetes objects for user lab', progress: 30 },
  { id: '3', type: 'info', message: 'Pulling image "x"', progress: 48 },
  { id: '4', type: 'complete', message: 'Lab Kubernetes pod started for ada' },
];

const HTTPX = {
  accept: '*/*',
  'accept-encoding': 'gzip, deflate',
  connection: 'keep-alive',
  'user-agent': 'python-httpx/0.28.1',
};

let server: RunningServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A controller with at most one lab, which runs as soon as its events have been read. */
async function controller(first?: LabState) {
  let lab = first;
  const calls: string[] = [];
  const labs = fakeLabs([], {
    get: () => lab,
    create() {
      calls.push('create');
      if (lab !== undefined) return Promise.reject(new LabwrightError('lab_exists', 409, 'Lab already exists for ada'));
      lab = aLabState({ status: 'pending', phase: 'accepted', internalUrl: null });
      return Promise.resolve();
    },
    delete() {
      calls.push('delete');
      if (lab === undefined) return Promise.reject(new LabwrightError('unknown_user', 404, 'Unknown user ada'));
      lab = undefined;
      return Promise.resolve();
    },
    async *events() {
      // The address is known before the terminal event is sent: the plugin asks for it at once.
      for await (const event of eventsOf(events)) {
        if (event.type === 'complete') lab = aLabState();
        yield event;
      }
    },
  });
  server = await startServer({
    app: testApp({ labs }).app,
    host: '127.0.0.1',
    port: 0,
    logger: pino({ level: 'silent' }),
  });
  return { plugin: aPlugin(server.address), calls, is: (state: LabState | undefined) => void (lab = state) };
}

/** What the plugin does, in its order and with its reading of the answers. */
function aPlugin({ port }: AddressInfo) {
  const here = `http://127.0.0.1:${String(port)}`;

  /** `services.internal["nublado-controller"].url`; its host is a name of the outside, which leads here. */
  async function discover(): Promise<string> {
    const response = await fetch(`${here}/labwright/discovery`, { redirect: 'manual', headers: HTTPX });
    if (!response.ok) throw new Error(`discovery: ${String(response.status)}`);
    const { services } = (await response.json()) as { services: { internal: Record<string, { url: string }> } };
    const url = new URL(services.internal['nublado-controller']?.url ?? '');
    expect(url.origin).toBe('https://hub.example.org');
    return `${here}${url.pathname.replace(/\/+$/, '')}/spawner/v1`;
  }

  async function send(
    method: string,
    path: string,
    token: string,
    more: { body?: string; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return fetch(`${await discover()}/${path}`, {
      method,
      redirect: 'manual',
      headers: { ...HTTPX, authorization: `Bearer ${token}`, ...more.headers },
      ...(more.body === undefined ? {} : { body: more.body }),
    });
  }

  async function create(): Promise<Response> {
    const options = {
      image_list: [IMAGE],
      image_dropdown: ['use_image_from_dropdown'],
      size: ['Small'],
      _xsrf: ['2|1:0'],
    };
    const env = { JUPYTERHUB_SERVICE_PREFIX: '/user/ada/', JUPYTERHUB_USER: 'ada', JUPYTERHUB_API_TOKEN: 's3cret' };
    const body = JSON.stringify({ options, env });
    return send('POST', 'labs/ada/create', TOKENS.ada, { body, headers: { 'content-type': 'application/json' } });
  }

  async function stop(): Promise<void> {
    const response = await send('DELETE', 'labs/ada', TOKENS.hub);
    if (!response.ok && response.status !== 404) throw new Error(`stop: ${String(response.status)}`);
    await response.text();
  }

  /** Null: alive; a number: an exit status. */
  async function poll(): Promise<number | null> {
    const response = await send('GET', 'labs/ada', TOKENS.hub);
    const text = await response.text();
    if (response.status === 404) return 0;
    if (!response.ok) throw new Error(`poll: ${String(response.status)}`);
    const { status } = JSON.parse(text) as { status: string };
    if (status === 'failed') return 1;
    return status === 'terminating' || status === 'terminated' ? 0 : null;
  }

  async function start() {
    const progress: { progress: number; message: string }[] = [];
    let created = await create();
    if (created.status === 409) {
      progress.push({ progress: 1, message: '[warning] Deleting existing orphaned lab' });
      await created.text();
      await stop();
      created = await create();
    }
    if (!created.ok) throw new Error(`create: ${String(created.status)}`);
    expect(await created.text()).toBe('null');
    const headers = { accept: 'text/event-stream', 'cache-control': 'no-store' };
    const stream = await send('GET', 'labs/ada/events', TOKENS.ada, { headers });
    expect(stream.headers.get('content-type')?.split(';')[0]).toBe('text/event-stream');
    let last = 0;
    for (const frame of (await stream.text()).split('\r\n\r\n').filter((text) => text !== '')) {
      const { event = 'message', data = '' } = readFrame(frame);
      if (event === 'ping' || data === '') continue;
      const { message, progress: now, ...others } = JSON.parse(data) as { message: string; progress?: number };
      expect(others).toEqual({});
      if (event === 'failed') throw new Error(message);
      last = event === 'complete' ? 75 : (now ?? last);
      progress.push({ progress: last, message: `[${event === 'complete' ? 'info' : event}] ${message}` });
      if (event === 'complete') break;
    }
    const lab = (await (await send('GET', 'labs/ada', TOKENS.hub)).json()) as { internal_url?: string };
    return { url: lab.internal_url, progress };
  }

  const form = async () => (await send('GET', 'lab-form/ada', TOKENS.ada)).text();
  return { start, stop, poll, form };
}

/** As an event source reads it: the last value of each field, comments left out. */
function readFrame(frame: string): Record<string, string> {
  const fields = frame.split('\r\n').filter((line) => !line.startsWith(':'));
  return Object.fromEntries(
    fields.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
}

describe('the hub plugin', () => {
  it('shows the form, starts a lab with its progress, polls it and stops it', async () => {
    const { plugin, calls } = await controller();
    expect(await plugin.poll()).toBe(0);
    expect(await plugin.form()).toContain('name="image_list"');
    expect(await plugin.start()).toEqual({
      url: 'http://lab.lab-ada:8888/user/ada/',
      progress: [
        { progress: 1, message: '[info] Starting lab creation for ada' },
        { progress: 30, message: '[info] Created Kubernetes objects for user lab' },
        { progress: 48, message: '[info] Pulling image "x"' },
        { progress: 75, message: '[info] Lab Kubernetes pod started for ada' },
      ],
    });
    expect(await plugin.poll()).toBeNull();
    await plugin.stop();
    expect(await plugin.poll()).toBe(0);
    await plugin.stop();
    expect(calls).toEqual(['create', 'delete', 'delete']);
  });

  it('replaces a lab that is still there, whose credentials the hub has revoked', async () => {
    const { plugin, calls } = await controller(aLabState());
    const { url, progress } = await plugin.start();
    expect(url).toBe('http://lab.lab-ada:8888/user/ada/');
    expect(progress[0]).toEqual({ progress: 1, message: '[warning] Deleting existing orphaned lab' });
    expect(calls).toEqual(['create', 'delete', 'create']);
  });

  it.each([
    ['pending', null],
    ['running', null],
    ['terminating', 0],
    ['terminated', 0],
    ['failed', 1],
  ] as const)('reads the status %s as %s', async (status, expected) => {
    const { plugin, is } = await controller();
    is(aLabState({ status }));
    expect(await plugin.poll()).toBe(expected);
  });
});
