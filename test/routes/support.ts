import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { createIdentification } from '../../src/auth/identification.ts';
import type { IdentityProvider } from '../../src/auth/identity.ts';
import { buildConfig, type Config } from '../../src/config/index.ts';
import type { LabEvent, LabKey, LabState } from '../../src/domain/lab/lab.ts';
import type { CreateLab, LabService } from '../../src/reconcile/labs/lab-service.ts';
import { createApp, type AppDeps } from '../../src/routes/server/app.ts';
import { watchAnswer } from '../support/canaries.ts';
import { canary } from '../support/canary.ts';

export const API = '/labwright/spawner/v1';
export const IMAGE = 'quay.io/jupyter/minimal-notebook:2026-11-02';
export const DIGEST = `sha256:${'ab'.repeat(32)}`;

/** Tokens by who they are for; the configuration knows their hashes. */
export const TOKENS = {
  ada: canary('token-of-ada'),
  bob: canary('token-of-bob'),
  hub: canary('token-of-the-hub'),
  admin: canary('token-of-an-admin'),
};
/** A secret that a hub puts into a lab's environment. */
export const HUB_SECRET = canary('secret-of-the-hub');
/** Far beyond what any test asks for that is not about limits. */
const PLENTY = { perSecond: 1_000_000, burst: 1_000_000 };
export type Caller = keyof typeof TOKENS;

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const user = (username: string, uid: number, groups: readonly string[] = []) => ({
  username,
  name: `${username} of the tests`,
  uid,
  gid: uid,
  groups: groups.map((name, at) => ({ name, id: 5000 + at })),
});

export function aConfig(change: Record<string, unknown> = {}): Config {
  return buildConfig({
    baseUrl: 'https://hub.example.org',
    auth: {
      tokens: [
        { sha256: sha256(TOKENS.ada), role: 'user', user: user('ada', 1001, ['astronomers']) },
        { sha256: sha256(TOKENS.bob), role: 'user', user: user('bob', 1002) },
        { sha256: sha256(TOKENS.hub), role: 'hub' },
        { sha256: sha256(TOKENS.admin), role: 'admin' },
      ],
    },
    images: {
      list: [
        { reference: IMAGE, name: 'Minimal notebook', class: 'recommended' },
        { reference: `quay.io/jupyter/scipy-notebook:w_2026_47@${DIGEST}`, name: 'SciPy', class: 'latest-weekly' },
      ],
    },
    users: { byName: { ada: { uid: 1001, gid: 1001 }, carol: { name: 'Carol', uid: 2001, gid: 2001 } } },
    lab: {
      sizes: [
        { name: 'small', cpu: 1, memory: '2Gi', cpuRequest: 0.25, memoryRequest: '512Mi' },
        { name: 'large', cpu: 4, memory: '16Gi', extendedResources: { 'nvidia.com/gpu': 1 } },
      ],
    },
    limits: {
      ...{ user: PLENTY, hub: PLENTY, admin: PLENTY, anonymous: PLENTY, failedAuthentication: PLENTY },
      streamsPerUser: 1_000_000,
    },
    ...change,
  });
}

export function aLabState(change: Partial<LabState> = {}, key: LabKey = { username: 'ada', servername: '' }): LabState {
  return {
    spec: {
      spawnId: 'spawn-1',
      namespace: 'lab-ada',
      user: { username: key.username, name: 'Ada', uid: 1001, gid: 1001, groups: [{ name: 'astronomers', id: 5000 }] },
      servername: key.servername,
      options: { size: 'small', enable_debug: false, reset_user_env: false, image: IMAGE },
      image: { reference: IMAGE, name: 'Minimal notebook', digest: '' },
      resources: { limits: { cpu: 1, memory: 2 ** 31 }, requests: { cpu: 0.25, memory: 2 ** 29 } },
      extendedResources: {},
      quota: { cpu: 9, memory: 2 ** 35, spawn: true },
      servicePrefix: '/user/ada/',
      createdAt: Date.UTC(2026, 10, 21, 12),
      deadline: Date.UTC(2026, 10, 21, 12, 10),
    },
    status: 'running',
    phase: 'running',
    reason: null,
    message: null,
    internalUrl: 'http://lab.lab-ada:8888/user/ada/',
    node: 'node-1',
    imageDigest: DIGEST,
    restarts: 0,
    startedAt: Date.UTC(2026, 10, 21, 12, 1),
    finishedAt: null,
    ...change,
  };
}

export interface FakeLabs extends LabService {
  readonly created: CreateLab[];
  readonly deleted: LabKey[];
}

/** Labs in memory, each call answered at once. A test gives the labs there are and replaces the calls it is about. */
export function fakeLabs(states: readonly LabState[] = [], change: Partial<LabService> = {}): FakeLabs {
  const created: CreateLab[] = [];
  const deleted: LabKey[] = [];
  const get = (key: LabKey) =>
    states.find(({ spec }) => spec.user.username === key.username && spec.servername === key.servername);
  return {
    created,
    deleted,
    ready: () => Promise.resolve(),
    isReady: () => true,
    staleness: undefined,
    runningUsers: () => states.filter(({ status }) => status === 'running').map(({ spec }) => spec.user.username),
    list: () => [...states],
    get,
    create: (lab) => Promise.resolve(void created.push(lab)),
    delete: (key) => Promise.resolve(void deleted.push(key)),
    events: (key) => (get(key) === undefined ? undefined : eventsOf([])),
    ...change,
  };
}

/** A stream of these events and then the end. */
export async function* eventsOf(events: readonly LabEvent[]): AsyncGenerator<LabEvent> {
  for (const event of events) yield await Promise.resolve(event);
}

export interface CallOptions {
  readonly as?: Caller;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly body?: string | Uint8Array<ArrayBuffer> | URLSearchParams;
  /** Address of the caller's end of the socket. */
  readonly from?: string;
}

interface TestDeps extends Partial<AppDeps> {
  /** Instead of the configured ones. */
  readonly identity?: readonly IdentityProvider[];
}

/** The app on fakes, and what it logged. */
export function testApp({ identity, ...deps }: TestDeps = {}) {
  const logs: Record<string, unknown>[] = [];
  const write = (line: string) => void logs.push(JSON.parse(line) as Record<string, unknown>);
  const logger = pino({ level: 'debug' }, { write });
  const config = deps.config ?? aConfig();
  const identification = createIdentification(config, { logger });
  const app = createApp({
    labs: fakeLabs(),
    config,
    identification: { ...identification, ...(identity === undefined ? {} : { providers: identity }) },
    logger,
    stopping: new AbortController().signal,
    version: '1.2.3',
    ...deps,
  });
  // Also what goes over sockets passes here.
  const answer = app.fetch;
  app.fetch = async (request, ...rest) => watchAnswer(await answer(request, ...rest), request.method);

  async function call(path: string, options: CallOptions = {}): Promise<Response> {
    const headers: Record<string, string> = { ...options.headers };
    if (options.as !== undefined) headers['authorization'] = `Bearer ${TOKENS[options.as]}`;
    if (options.json !== undefined) headers['content-type'] ??= 'application/json';
    const body = options.json === undefined ? options.body : JSON.stringify(options.json);
    const method = options.method ?? (body === undefined ? 'GET' : 'POST');
    const init: RequestInit = { method, headers, ...(body === undefined ? {} : { body }) };
    const env = options.from === undefined ? {} : { incoming: { socket: { remoteAddress: options.from } } };
    return app.request(path, init, env);
  }

  return { app, logs, call };
}

/** What the hub plugin sends for a form that was filled in by a browser. */
export function formRequest(options: Record<string, unknown> = {}, env: Record<string, unknown> = {}) {
  return {
    options: { image_list: [IMAGE], size: ['small'], _xsrf: ['2|a|b'], ...options },
    env: { JUPYTERHUB_SERVICE_PREFIX: '/user/ada/', JUPYTERHUB_API_TOKEN: HUB_SECRET, ...env },
  };
}
