import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tokenConnection } from '../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../src/storage/kubernetes/resources.ts';
import { type ApiServer, startApiServer } from '../test/support/api-server.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { type Candidate, MODES, type Mode, NAMESPACES, startCandidate, TITLES } from './kubespawner/candidate.ts';
import {
  countCalls,
  type Measured,
  restartHub,
  rowsOf,
  type Spawns,
  spawnMany,
  stopMany,
} from './kubespawner/measure.ts';
import { startKubeletProcess } from './setting.ts';
import { comparison } from './statistics.ts';

/** A JupyterHub whose servers KubeSpawner makes beside one whose servers Labwright makes: one API server, one kubelet, one hub version. */
const { values } = parseArgs({
  options: {
    /** The program, of a Python that has KubeSpawner and aiohttp: the one of `.ci/peers FOLDER` has both. */
    jupyterhub: {
      type: 'string',
      default:
        process.env['PEERS'] === undefined ? 'jupyterhub' : join(process.env['PEERS'], 'kubespawner/bin/jupyterhub'),
    },
    modes: { type: 'string', default: 'kubespawner,perLab' },
    'in-flight': { type: 'string', default: '1,16,50' },
    /** Starts for each number in flight. */
    spawns: { type: 'string', default: '200' },
    /** Servers that run while the hub is restarted; 0 leaves that out. */
    running: { type: 'string', default: '500' },
    /** Starts whose calls are counted. */
    counted: { type: 'string', default: '10' },
  },
});

const modes = values.modes.split(',').map((mode) => {
  if (!MODES.includes(mode as Mode)) throw new Error(`--modes: expected some of ${MODES.join(', ')}`);
  return mode as Mode;
});
const levels = values['in-flight'].split(',').map(Number);
const [spawns, running, counted] = [values.spawns, values.running, values.counted].map(Number) as [
  number,
  number,
  number,
];

const server = await startApiServer({ controllers: 'stock' });
const kubelet = await startKubeletProcess({ ...server, serve: true });
try {
  await makeNamespaces(server);
  const measured: Measured[] = [];
  for (const mode of modes) measured.push(await measure(mode));
  const titles = modes.map((mode) => TITLES[mode]);
  process.stdout.write(`${comparison('JupyterHub with', titles, rowsOf(levels, measured))}\n`);
} finally {
  kubelet.kill('SIGKILL');
  await server.close();
}

async function measure(mode: Mode): Promise<Measured> {
  const timed = await withCandidate(mode, false, async (candidate) => {
    const found = new Map<number, Spawns>();
    for (const limit of levels) {
      progress(`${TITLES[mode]}: ${String(spawns)} spawns, ${String(limit)} in flight`);
      const { users, spawns: seen } = await spawnMany(candidate, { count: spawns, limit });
      found.set(limit, seen);
      await stopMany(candidate, users);
    }
    if (running === 0) return { spawns: found, restart: undefined };
    progress(`${TITLES[mode]}: restart of the hub with ${String(running)} servers`);
    const { users } = await spawnMany(candidate, { count: running, limit: 40 });
    const restart = await restartHub(candidate, running);
    await stopMany(candidate, users);
    return { spawns: found, restart };
  });
  progress(`${TITLES[mode]}: calls of ${String(counted)} spawns`);
  const calls = await withCandidate(mode, true, (candidate) => countCalls(candidate, counted));
  return { ...timed, calls };
}

async function withCandidate<T>(
  mode: Mode,
  isCounted: boolean,
  work: (candidate: Candidate) => Promise<T>,
): Promise<T> {
  const candidate = await startCandidate({ mode, server, jupyterhub: values.jupyterhub, counted: isCounted });
  try {
    return await work(candidate);
  } finally {
    await candidate.close();
  }
}

/** Accounts, cluster roles and service networks are made in the first seconds; measuring begins after them. */
async function makeNamespaces(api: ApiServer): Promise<void> {
  const connection = tokenConnection(api);
  const client = new KubeClient({ connection });
  try {
    for (const name of Object.values(NAMESPACES)) await client.create(Namespaces, { metadata: { name } });
    await waitFor('the default account', 30_000, () => client.get(Namespaces, { name: 'kube-node-lease' }), 100);
    await delay(3_000);
  } finally {
    await connection.dispatcher.destroy();
  }
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
