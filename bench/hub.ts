import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ControllerProcess } from '../test/support/controller-process.ts';
import { HubApi } from '../test/support/hub-api.ts';
import { HubProcess } from '../test/support/hub-process.ts';
import { milliseconds, quantile, type Row, table } from './statistics.ts';

/** A rush on a real JupyterHub in front of the sandbox: everybody presses Start in one moment. */
const { values } = parseArgs({
  options: {
    /** The program; it must find the packages of deploy/jupyterhub/spawner. */
    jupyterhub: { type: 'string', default: process.env['JUPYTERHUB'] ?? 'jupyterhub' },
    users: { type: 'string', default: '50' },
    /** The hub's own limit, beyond which it answers 429. */
    limit: { type: 'string', default: '100' },
  },
});

const POLL_MS = 250;
const LONGEST_MS = 180_000;
const users = Array.from({ length: Number(values.users) }, (_, index) => `student-${String(index)}`);
const hubToken = randomBytes(16).toString('hex');

const controller = await ControllerProcess.prepare({
  credentials: { sandbox: true },
  namespace: 'labwright',
  image: 'quay.io/jupyter/base-notebook:latest',
  auth: { tokens: [{ sha256: createHash('sha256').update(hubToken).digest('hex'), role: 'hub' }] },
  lab: { internalUrl: 'podIp' },
});
const hub = await HubProcess.prepare({
  program: values.jupyterhub,
  controllerUrl: `${controller.url}/labwright`,
  controllerToken: hubToken,
  config: `c.JupyterHub.concurrent_spawn_limit = ${values.limit}`,
});
const api = new HubApi(hub.url, hub.token);

try {
  controller.start();
  await controller.firstAnswer();
  await hub.start();
  await api.ask('POST', '/users', { usernames: users });
  const start = performance.now();
  const results = await Promise.all(users.map((user) => spawnOne(user, start)));
  process.stdout.write(`${table(`${String(users.length)} users at once`, rows(results))}\n`);
} finally {
  await hub.close();
  await controller.close();
}

interface Result {
  readonly statuses: readonly number[];
  /** Milliseconds since the rush began. */
  readonly readyAfter: number;
}

/** Presses Start as a person would who is told to come back, and waits until the hub says ready. */
async function spawnOne(user: string, start: number): Promise<Result> {
  const statuses: number[] = [];
  for (;;) {
    const { status, retryAfter } = await api.ask('POST', `/users/${user}/server`, {
      user_options: { size: 'small', image_class: 'recommended' },
    });
    statuses.push(status);
    if (status !== 429) break;
    await delay(Math.min(retryAfter ?? 5, 10) * 1000);
  }
  while (performance.now() - start < LONGEST_MS) {
    const { body } = await api.ask('GET', `/users/${user}`);
    const { servers = {} } = body as { servers?: Record<string, { ready: boolean }> };
    if (servers['']?.ready === true) return { statuses, readyAfter: performance.now() - start };
    await delay(POLL_MS);
  }
  return { statuses, readyAfter: Number.POSITIVE_INFINITY };
}

function rows(results: readonly Result[]): Row[] {
  const ready = results.map(({ readyAfter }) => readyAfter).filter(Number.isFinite);
  const statuses = results.flatMap((result) => result.statuses);
  const lines = controller.log.split('\n').filter((line) => line.startsWith('{'));
  const entries = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'request');
  const failed = entries.filter(({ status }) => Number(status) >= 500);
  const creates = entries.filter(({ path }) => String(path).endsWith('/create'));
  const createMs = creates.map(({ ms }) => Number(ms));
  return [
    { what: 'answers of the hub', seen: count(statuses) },
    { what: 'labs that are ready', seen: `${String(ready.length)} of ${String(results.length)}`, aim: 'all' },
    { what: 'ready after, median', seen: milliseconds(quantile(ready, 0.5)) },
    { what: 'ready after, the last', seen: milliseconds(quantile(ready, 1)) },
    { what: "Labwright's answers of 500 and above", seen: String(failed.length), aim: '0' },
    { what: "Labwright's answer to a create, median", seen: milliseconds(quantile(createMs, 0.5)) },
    { what: "Labwright's answer to a create, the slowest", seen: milliseconds(quantile(createMs, 1)) },
    { what: "Labwright's processor time", seen: milliseconds(controller.cpuMs()) },
  ];
}

function count(statuses: readonly number[]): string {
  const counts = new Map<number, number>();
  for (const status of statuses) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, times]) => `${String(times)} × ${String(status)}`).join(', ');
}
