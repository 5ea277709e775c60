import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '../../test/support/wait-for.ts';
import { inFlight } from '../in-flight.ts';
import { decimal, milliseconds, quantile } from '../statistics.ts';
import type { KubeRequest } from '../../test/support/cluster-requests.ts';
import type { Candidate } from './candidate.ts';

/** Servers stopped at once between measurements. */
const STOPS = 16;
/** Long enough for whatever a finished start still does. */
const QUIET_MS = 500;
const LONGEST_MS = 600_000;

/** What a start, asked of the hub, came to. */
export interface Spawns {
  readonly perSecond: number;
  /** Milliseconds from the call of the hub's API to the answer that the server is ready. */
  readonly latencies: readonly number[];
  /** Milliseconds of processor time of the hub, and of the controller, for one start. */
  readonly hubMs: number;
  readonly controllerMs: number;
}

/** Starts one server for each of `count` new users, never more than `limit` at once. */
export async function spawnMany(candidate: Candidate, { count, limit }: { count: number; limit: number }) {
  const users = Array.from({ length: count }, (_, index) => `user-${String(limit)}-${String(index)}`);
  await addUsers(candidate, users);
  const cpu = () => [candidate.hub.cpuMs(), candidate.controller?.cpuMs() ?? 0] as const;
  const before = cpu();
  const batch = await inFlight(limit, users, (user) => start(candidate, user));
  const after = cpu();
  const [hubMs, controllerMs] = [0, 1].map((at) => (after[at as 0 | 1] - before[at as 0 | 1]) / count) as [
    number,
    number,
  ];
  const spawns: Spawns = { perSecond: batch.perSecond, latencies: batch.latencies, hubMs, controllerMs };
  return { users, spawns };
}

/** Stops them, and waits until the hub knows of none. */
export async function stopMany(candidate: Candidate, users: readonly string[]): Promise<void> {
  await inFlight(STOPS, users, (user) => candidate.api.stopServer(user));
  await waitFor(
    'all servers to be stopped',
    LONGEST_MS,
    async () => ((await candidate.api.activeServers()) === 0 ? true : undefined),
    250,
  );
}

async function addUsers({ api }: Candidate, usernames: readonly string[]): Promise<void> {
  const { status } = await api.ask('POST', '/users', { usernames });
  if (status !== 201) throw new Error(`The hub answers ${String(status)} to new users`);
}

async function start({ api, options, hub }: Candidate, user: string): Promise<void> {
  const { status, body } = await api.ask('POST', `/users/${user}/server`, { user_options: options });
  if (status === 201) return;
  throw new Error(`The hub answers ${String(status)} to a start: ${JSON.stringify(body)}\n${hub.log.slice(-3000)}`);
}

/** Calls to Kubernetes for one start, and for one stop: one after the other, counted by the proxy. */
export async function countCalls(candidate: Candidate, count: number): Promise<{ spawn: number; stop: number }> {
  const users = Array.from({ length: count }, (_, index) => `counted-${String(index)}`);
  await addUsers(candidate, users);
  const counted = async (work: (user: string) => Promise<unknown>) => {
    const since = performance.now();
    for (const user of users) await work(user);
    await delay(QUIET_MS);
    // The Lease is renewed whether anything is started or not.
    const isForIt = ({ resource }: KubeRequest) => resource !== 'leases';
    return (candidate.proxy?.requests.calls(since, isForIt).length ?? 0) / count;
  };
  const spawn = await counted((user) => start(candidate, user));
  const stop = await counted((user) => candidate.api.stopServer(user));
  return { spawn, stop };
}

export interface Restart {
  /** Milliseconds until the hub answers, and until it knows again of every server. */
  readonly answers: number;
  readonly complete: number;
  /** Servers that it knows of then. */
  readonly known: number;
  readonly hubMs: number;
}

/** Ends the hub and starts it again while so many servers run. */
export async function restartHub({ hub, api }: Candidate, running: number): Promise<Restart> {
  await hub.kill();
  const since = performance.now();
  await hub.start();
  const answers = performance.now() - since;
  let known = 0;
  await waitFor(
    'the hub to know of its servers again',
    LONGEST_MS,
    async () => {
      const { body } = await api.ask('GET', '/users?state=ready&limit=1000');
      known = (body as unknown[]).length;
      return known >= running ? true : undefined;
    },
    50,
  );
  return { answers, complete: performance.now() - since, known, hubMs: hub.cpuMs() };
}

/** Everything that was measured of one candidate, as cells of the table; the words are those of `ROWS`. */
export interface Measured {
  readonly spawns: ReadonlyMap<number, Spawns>;
  readonly calls: { readonly spawn: number; readonly stop: number };
  readonly restart: Restart | undefined;
}

export function rowsOf(levels: readonly number[], all: readonly Measured[]): string[][] {
  const row = (what: string, cell: (measured: Measured) => string) => [what, ...all.map(cell)];
  const ofSpawns = (limit: number, cell: (spawns: Spawns) => string) => (measured: Measured) => {
    const spawns = measured.spawns.get(limit);
    return spawns === undefined ? '-' : cell(spawns);
  };
  const ofRestart =
    (cell: (restart: Restart) => string) =>
    ({ restart }: Measured) =>
      restart === undefined ? '-' : cell(restart);
  return [
    ...levels.flatMap((limit) => [
      row(
        `spawns a second, ${String(limit)} in flight`,
        ofSpawns(limit, ({ perSecond }) => decimal(perSecond)),
      ),
      row(
        `to ready, p50 and p95, ${String(limit)} in flight`,
        ofSpawns(limit, ({ latencies }) => [0.5, 0.95].map((q) => milliseconds(quantile(latencies, q))).join(' and ')),
      ),
      row(
        `processor time of the hub per spawn, ${String(limit)} in flight`,
        ofSpawns(limit, ({ hubMs }) => milliseconds(hubMs)),
      ),
      row(`that of the controller, ${String(limit)} in flight`, (measured) =>
        ofSpawns(limit, ({ controllerMs }) => (controllerMs === 0 ? '-' : milliseconds(controllerMs)))(measured),
      ),
    ]),
    row('calls to Kubernetes per spawn', ({ calls }) => decimal(calls.spawn)),
    row('calls to Kubernetes per stop', ({ calls }) => decimal(calls.stop)),
    row(
      'restart of the hub: it answers',
      ofRestart(({ answers }) => milliseconds(answers)),
    ),
    row(
      'restart of the hub: all servers are known',
      ofRestart(({ complete }) => milliseconds(complete)),
    ),
    row(
      'restart of the hub: its processor time',
      ofRestart(({ hubMs }) => milliseconds(hubMs)),
    ),
    row(
      'restart of the hub: servers',
      ofRestart(({ known }) => String(known)),
    ),
  ];
}
