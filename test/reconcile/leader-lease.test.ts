import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LEASE_NAME, LeaseElection, type LeaseElectionOptions } from '../../src/reconcile/leader-lease.ts';
import type { Term } from '../../src/reconcile/leader.ts';
import { microTime } from '../../src/reconcile/lease-state.ts';
import { tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Leases, Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { SYSTEM_CLOCK } from '../../src/util/clock.ts';
import { aborted } from '../../src/util/sleep.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import type { KubeRequest } from '../support/cluster-requests.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { until } from './support/until.ts';

/** What happens in a test with these happens because of the watch: nothing is looked at again within it. */
const SLOW = { leaseDurationMs: 600_000, renewDeadlineMs: 400_000, retryPeriodMs: 300_000 };
const QUICK = { leaseDurationMs: 3_000, renewDeadlineMs: 2_000, retryPeriodMs: 200 };

let cluster: TestCluster;
let namespace: string;
let replicas: Replica[];

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.close());
beforeEach(async () => {
  replicas = [];
  namespace = cluster.uniqueName('leader');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
});
afterEach(() => Promise.all(replicas.map((replica) => replica.close())));

/** One replica with a proxy of its own between it and the API server. */
class Replica {
  readonly log: Record<string, unknown>[] = [];
  /** One for each of its terms. */
  readonly terms: Term[] = [];
  readonly election: LeaseElection;
  readonly proxy: FaultProxy;
  readonly #connection;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  static async start(options: Partial<LeaseElectionOptions> = {}, onCall?: FaultProxy['onCall']): Promise<Replica> {
    const proxy = await FaultProxy.start({ ...cluster.direct, ...(onCall === undefined ? {} : { onCall }) });
    const replica = new Replica(proxy, options);
    replicas.push(replica);
    return replica;
  }

  private constructor(proxy: FaultProxy, options: Partial<LeaseElectionOptions>) {
    this.proxy = proxy;
    this.#connection = tokenConnection({ server: proxy.server, token: cluster.token });
    const write = (line: string) => void this.log.push(JSON.parse(line) as Record<string, unknown>);
    this.election = new LeaseElection({
      client: new KubeClient({ connection: this.#connection }),
      namespace,
      podName: 'labwright',
      logger: pino({ level: 'info' }, { write }),
      ...SLOW,
      ...options,
    });
    this.#ended = this.election.run(this.#stop.signal, async (term) => {
      this.terms.push(term);
      await aborted(AbortSignal.any([term.lost, this.#stop.signal]));
    });
  }

  get holds(): boolean {
    return this.terms.at(-1)?.holds() === true;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#connection.dispatcher.destroy();
    await this.proxy.close();
  }
}

const leaders = () => replicas.filter(({ holds }) => holds);
const oneLeads = () => until('exactly one leads', () => leaders().length === 1 && leaders()[0]);
const theLease = async () => (await cluster.client.get(Leases, { namespace, name: LEASE_NAME }))?.spec ?? {};
const isLeaseCall = ({ resource }: KubeRequest) => resource === 'leases';

describe('leadership by a Lease', () => {
  it('is with the first of several replicas, under the name of its pod', async () => {
    const first = await Replica.start();
    await oneLeads();
    const others = [await Replica.start(), await Replica.start()];
    await until('the others have looked', () => others.every(({ proxy }) => proxy.requests.openWatches.size === 1));
    expect(leaders()).toEqual([first]);
    expect([first.election.isLeader, ...others.map(({ election }) => election.isLeader)]).toEqual([true, false, false]);
    expect(await theLease()).toMatchObject({
      holderIdentity: first.election.identity,
      leaseDurationSeconds: 600,
      leaseTransitions: 0,
    });
    expect(first.election.identity).toMatch(/^labwright_[0-9a-f]{12}$/);
  });

  it('is with one of several that start at the same moment', async () => {
    await Promise.all([Replica.start(QUICK), Replica.start(QUICK), Replica.start(QUICK)]);
    const leader = await oneLeads();
    expect(await theLease()).toMatchObject({ holderIdentity: leader.election.identity });
  });

  it('goes to another at once when the leader stops, who has watched the Lease', async () => {
    const first = await Replica.start();
    await oneLeads();
    const second = await Replica.start();
    await until('the other watches', () => second.proxy.requests.openWatches.size === 1);
    await first.stop();
    await until('the other leads', () => second.holds);
    expect(first.terms.map((term) => term.holds())).toEqual([false]);
    expect(await theLease()).toMatchObject({ holderIdentity: second.election.identity, leaseTransitions: 1 });
    expect(second.election.transitions).toBe(1);
  });

  it('is given back when nobody waits for it, and taken by whoever comes later', async () => {
    const first = await Replica.start();
    await oneLeads();
    await first.stop();
    expect(await theLease()).toMatchObject({ holderIdentity: '' });
    const second = await Replica.start();
    await until('the other leads', () => second.holds);
  });

  it('goes to another without a watch, which looks again and again', async () => {
    const noWatch = (_n: number, { verb }: KubeRequest) =>
      verb === 'watch' || verb === 'list' ? { status: 403, reason: 'Forbidden' } : 'pass';
    const first = await Replica.start(QUICK);
    await oneLeads();
    const second = await Replica.start(QUICK, noWatch);
    await until('the other has looked', () => second.proxy.requests.all.some(({ verb }) => verb === 'get'));
    await first.stop();
    await until('the other leads', () => second.holds);
  });

  it('is lost when the API server does not answer, and another leads only then', async () => {
    const first = await Replica.start(QUICK);
    await oneLeads();
    const second = await Replica.start(QUICK);
    first.proxy.onCall = () => 'stall';
    first.proxy.reset();
    const overlapped = until('the other leads', () => second.holds).then(() => first.holds);
    expect(await overlapped).toBe(false);
    expect(first.terms[0]?.lost.aborted).toBe(true);
    expect(first.election.health().message).toContain('cannot be read or written');
    expect(first.log.map(({ msg }) => msg)).toContain('leadership lost');
    first.proxy.onCall = () => 'pass';
    first.proxy.reset();
    await until('it reads the Lease again', () => first.election.health().message === undefined);
    expect(leaders()).toEqual([second]);
  });

  it('survives a call whose answer is lost, an error now and then, and a change beside it', async () => {
    const faults = ['reset-after', { status: 500 }, 'reset-before', 'duplicate'] as const;
    const leader = await Replica.start({ ...QUICK, leaseDurationMs: 20_000, renewDeadlineMs: 15_000 });
    await oneLeads();
    let renewals = 0;
    leader.proxy.onCall = (_n, { verb }) => (verb === 'patch' ? (faults[renewals++ % 8] ?? 'pass') : 'pass');
    await until('it has been through all of it', () => renewals > 16);
    await cluster.client.patch(Leases, { namespace, name: LEASE_NAME }, { metadata: { annotations: { seen: 'yes' } } });
    const before = (await theLease()).renewTime;
    await until('it renews', async () => (await theLease()).renewTime !== before);
    expect([leader.holds, leader.terms.length]).toEqual([true, 1]);
  });

  it('is lost at once to whoever has written another name into the Lease', async () => {
    const leader = await Replica.start();
    await oneLeads();
    await until('it watches', () => leader.proxy.requests.openWatches.size === 1);
    await cluster.client.patch(Leases, { namespace, name: LEASE_NAME }, { spec: { holderIdentity: 'somebody' } });
    await until('it is lost', () => leader.terms[0]?.lost.aborted);
    expect(leader.holds).toBe(false);
    expect(await theLease()).toMatchObject({ holderIdentity: 'somebody' });
  });

  it('is with one replica when the Lease is removed', async () => {
    const first = await Replica.start();
    await oneLeads();
    const second = await Replica.start();
    await until('both watch', () => replicas.every(({ proxy }) => proxy.requests.openWatches.size === 1));
    await cluster.client.delete(Leases, { namespace, name: LEASE_NAME });
    await until('there is a Lease again', async () => (await theLease()).holderIdentity);
    const leader = await oneLeads();
    expect(await theLease()).toMatchObject({ holderIdentity: leader.election.identity });
    expect([first, second].filter(({ election }) => election.isLeader)).toEqual([leader]);
  });

  it('does not depend on anybody’s clock on the wall', async () => {
    let step = 0;
    const clock = { now: () => Date.now() + step, monotonic: SYSTEM_CLOCK.monotonic };
    const wrong = { now: () => Date.UTC(2001), monotonic: SYSTEM_CLOCK.monotonic };
    const leader = await Replica.start({ ...QUICK, leaseDurationMs: 20_000, renewDeadlineMs: 15_000, clock });
    await oneLeads();
    const other = await Replica.start({ ...QUICK, leaseDurationMs: 20_000, renewDeadlineMs: 15_000, clock: wrong });
    for (const ms of [-86_400_000, 86_400_000, 10 * 365 * 86_400_000]) {
      step = ms;
      const { renewTime } = await theLease();
      await until('it renews', async () => (await theLease()).renewTime !== renewTime);
    }
    expect([leader.terms.length, leader.holds, other.terms.length]).toEqual([1, true, 0]);
  });

  it('does not hold for a process that was stopped for longer, before it has asked anybody', async () => {
    let paused = 0;
    const clock = { now: SYSTEM_CLOCK.now, monotonic: () => SYSTEM_CLOCK.monotonic() + paused };
    const leader = await Replica.start({ clock });
    await oneLeads();
    const term = leader.terms[0];
    expect(term?.holds()).toBe(true);
    paused = SLOW.renewDeadlineMs;
    expect([term?.holds(), leader.election.isLeader]).toEqual([false, false]);
  });

  it('is counted by the Lease as it goes from one to the other', async () => {
    for (const expected of [0, 1, 2, 3]) {
      const replica = await Replica.start();
      await until('it leads', () => replica.holds);
      expect(replica.election.transitions).toBe(expected);
      await replica.stop();
    }
  });

  it('may be had in a cluster where something else has held it, when that has not renewed it for its duration', async () => {
    const spec = { holderIdentity: 'gone', leaseDurationSeconds: 1, renewTime: microTime(Date.UTC(2099)) };
    await cluster.client.create(Leases, { metadata: { namespace, name: LEASE_NAME }, spec });
    const replica = await Replica.start();
    await until('it leads', () => replica.holds);
    expect(await theLease()).toMatchObject({ holderIdentity: replica.election.identity, leaseTransitions: 1 });
  });

  it.each([
    ['a right is missing', 403, 'Forbidden', 'may not use the Lease labwright-leader in the namespace'],
    ['the API server knows no Leases', 404, 'NotFound', 'does not serve Leases'],
    ['the API server is in trouble', 500, 'InternalError', 'cannot be read or written (InternalError)'],
  ])('is with nobody where %s, which is said once, in one sentence', async (_title, status, reason, sentence) => {
    const replica = await Replica.start(QUICK, (_n, request) => (isLeaseCall(request) ? { status, reason } : 'pass'));
    await until('it says so', () => replica.election.health().message?.includes(sentence));
    const calls = replica.proxy.requests.all.length;
    await until('it has tried again', () => replica.proxy.requests.all.length > calls + 8);
    const said = replica.log.filter(({ msg }) => String(msg).includes(sentence));
    expect(said).toHaveLength(1);
    // The labs are there to be read: a replica that is not ready would take them from the hub.
    expect(replica.election.health()).toMatchObject({ component: 'leader', ready: true });
    replica.proxy.onCall = () => 'pass';
    await until('it leads', () => replica.holds);
    expect(replica.election.health().message).toBeUndefined();
  });

  it('is with nobody where the namespace does not exist, which is said', async () => {
    namespace = cluster.uniqueName('nowhere');
    const replica = await Replica.start(QUICK);
    await until('it says so', () => replica.election.health().message?.includes(`${namespace} does not exist`));
  });
});
