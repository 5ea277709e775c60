import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LEASE_NAME } from '../../src/reconcile/leader-lease.ts';
import { Leases, Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import type { KubeRequest } from '../support/cluster-requests.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import type { ElectorOptions } from './support/elector.ts';
import { until } from './support/until.ts';

const TIMES = { leaseDurationMs: 4_000, renewDeadlineMs: 3_000, retryPeriodMs: 500 };
/** Nothing happens by itself within a test. */
const SLOW = { leaseDurationMs: 600_000, renewDeadlineMs: 400_000, retryPeriodMs: 100_000 };

let cluster: TestCluster;
let namespace: string;
let electors: Elector[];

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  electors = [];
  namespace = cluster.uniqueName('leader');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
});
afterEach(() => Promise.all(electors.map((elector) => elector.close())));

/** A replica as a process of its own, with a proxy that sees what it writes. */
class Elector {
  readonly name: string;
  readonly said: string[] = [];
  readonly proxy: FaultProxy;
  readonly process: ChildProcess;

  static async start(times: ElectorOptions['times'] = TIMES): Promise<Elector> {
    const proxy = await FaultProxy.start(cluster.direct);
    const elector = new Elector(`replica-${electors.length}`, proxy);
    electors.push(elector);
    const { server } = proxy;
    elector.process.send({
      server,
      token: cluster.token,
      namespace,
      name: elector.name,
      times,
    } satisfies ElectorOptions);
    return elector;
  }

  private constructor(name: string, proxy: FaultProxy) {
    this.name = name;
    this.proxy = proxy;
    this.process = fork(join(import.meta.dirname, 'support/elector.ts'), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.process.on('message', ({ msg }: { msg: string }) => void this.said.push(msg));
  }

  get hasLost(): boolean {
    return this.said.includes('leadership lost');
  }

  writes(since: number): KubeRequest[] {
    return this.proxy.requests.calls(since, ({ verb }) => !['get', 'list', 'watch'].includes(verb));
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
  }

  async close(): Promise<void> {
    await this.end('SIGKILL');
    await this.proxy.close();
  }
}

const theLease = async () => (await cluster.client.get(Leases, { namespace, name: LEASE_NAME }))?.spec ?? {};
const leads = (elector: Elector) =>
  until(`${elector.name} leads`, async () => (await theLease()).holderIdentity?.startsWith(`${elector.name}_`));
const works = (elector: Elector, since = performance.now()) =>
  until(`${elector.name} writes`, () => elector.writes(since).some(({ resource }) => resource === 'configmaps'));

/** The first one leads and writes, and another one waits. */
async function two(times?: ElectorOptions['times']): Promise<[Elector, Elector]> {
  const first = await Elector.start(times);
  await leads(first);
  await works(first);
  const second = await Elector.start(times);
  await until('the other watches', () => second.proxy.requests.openWatches.size === 1);
  return [first, second];
}

describe('a replica that leads, as a process', () => {
  it('hands over at once when it is told to end, and writes nothing after that', async () => {
    const [first, second] = await two(SLOW);
    await first.end('SIGTERM');
    await leads(second);
    await works(second);
    expect(first.said).toContain('leadership released');
    expect((await theLease()).leaseTransitions).toBe(1);
    // The last thing it sent is that nobody holds the Lease.
    expect(first.writes(0).at(-1)?.resource).toBe('leases');
  });

  it('is followed by another when it is killed', async () => {
    const [first, second] = await two();
    await first.end('SIGKILL');
    await leads(second);
    await works(second);
  });

  it('writes nothing when it wakes from a pause that was longer than its lease', async () => {
    const [first, second] = await two();
    // It waits for an answer when it is stopped: what it was handing to the kernel at that moment nothing could take back.
    first.proxy.onCall = (_, { resource }) => (resource === 'configmaps' ? 'hold-after' : 'pass');
    const held = await first.proxy.nextHeld(20_000);
    first.process.kill('SIGSTOP');
    await leads(second);
    await works(second);
    first.proxy.onCall = () => 'pass';
    held.release();
    const woken = performance.now();
    first.process.kill('SIGCONT');
    await until('it has noticed', () => first.hasLost);
    // It has asked who leads since.
    await until(
      'it looks at the Lease',
      () =>
        first.proxy.requests.calls(woken, ({ verb, resource }) => verb === 'get' && resource === 'leases').length > 1,
    );
    expect(first.writes(woken)).toEqual([]);
    await works(second);
  });

  it('writes nothing when it is cut off from the API server until another leads', async () => {
    const [first, second] = await two();
    first.proxy.onCall = () => 'stall';
    first.proxy.reset();
    await leads(second);
    await until('it has noticed', () => first.hasLost);
    const healed = performance.now();
    first.proxy.onCall = () => 'pass';
    first.proxy.reset();
    await until(
      'it looks at the Lease',
      () =>
        first.proxy.requests.calls(healed, ({ verb, resource }) => verb === 'get' && resource === 'leases').length > 1,
    );
    expect(first.writes(healed)).toEqual([]);
    await works(second);
  });
});
