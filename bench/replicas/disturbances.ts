import { setTimeout as delay } from 'node:timers/promises';
import type { KubeRequest } from '../../test/support/cluster-requests.ts';
import { BUILDS, type Fleet, NAMESPACE, type Replica } from './fleet.ts';

export interface Disturbance {
  readonly what: string;
  /** Milliseconds without a leader; undefined where leadership stayed, or nobody led. */
  readonly leaderlessMs: number | undefined;
  /** Of the replica whose lease was over. */
  readonly writesAfterwards: number;
}

const PAUSED_MS = 25_000;
/** After it goes on: enough for whatever it had in mind. */
const AWAKE_MS = 3_000;
const LEADER_MS = 40_000;
const KUBELET_MS = 1_000;

/** What happens to replicas: each waits until it is over. */
export const DISTURBANCES = {
  'rolling restart': rollingRestart,
  'kill -9 of the leader': killLeader,
  'leader stopped for 25 s': pauseLeader,
  'connections to the API server cut': cutConnections,
} as const satisfies Record<string, (fleet: Fleet) => Promise<Disturbance[]>>;

async function rollingRestart(fleet: Fleet): Promise<Disturbance[]> {
  const seen: Disturbance[] = [];
  const old = [...fleet.running];
  for (const replica of old) {
    const spare = fleet.replicas.find(({ isRunning }) => !isRunning);
    // With one replica alone there is no surge: two programs that do not know of each other would be two leaders.
    const isAlone = old.length === 1;
    if (spare !== undefined && !isAlone) await fleet.begin(spare);
    const wasLeader = fleet.lease.holder === replica.name;
    const at = await fleet.end(replica);
    const leaderlessMs = wasLeader ? await fleet.lease.nextLeader(replica.name, at, LEADER_MS) : undefined;
    seen.push({ what: `SIGTERM of ${wasLeader ? 'the leader' : 'another'}`, leaderlessMs, writesAfterwards: 0 });
    if (isAlone) await fleet.begin(replica);
  }
  return seen;
}

async function killLeader(fleet: Fleet): Promise<Disturbance[]> {
  const { leader } = fleet;
  if (leader === undefined) return [];
  const at = performance.now();
  await fleet.kill(leader);
  const back = delay(KUBELET_MS).then(() => fleet.begin(leader));
  const next = fleet.lease.history.length === 0 ? undefined : fleet.lease.nextLeader(leader.name, at, LEADER_MS);
  const [leaderlessMs] = await Promise.all([next, back]);
  return [{ what: 'kill -9 of the leader', leaderlessMs, writesAfterwards: 0 }];
}

async function pauseLeader(fleet: Fleet): Promise<Disturbance[]> {
  const { leader } = fleet;
  if (leader === undefined) return [];
  const at = performance.now();
  leader.process.signal('SIGSTOP');
  const isKnown = fleet.lease.history.length > 0;
  const leaderless = isKnown ? fleet.lease.nextLeader(leader.name, at, LEADER_MS) : Promise.resolve(undefined);
  await delay(PAUSED_MS);
  const woken = performance.now();
  leader.process.signal('SIGCONT');
  await delay(AWAKE_MS);
  const leaderlessMs = await leaderless;
  const writesAfterwards = isKnown ? foreignWrites(fleet, leader, woken) : 0;
  return [{ what: 'leader stopped for 25 s', leaderlessMs, writesAfterwards }];
}

async function cutConnections(fleet: Fleet): Promise<Disturbance[]> {
  const before = fleet.lease.holder;
  for (let round = 0; round < 5; round += 1) {
    for (const { proxy } of fleet.replicas) proxy.reset();
    await delay(300);
  }
  const isKept = fleet.lease.holder === before;
  return [
    {
      what: `connections to the API server cut, the leader ${isKept ? 'stays' : 'changes'}`,
      leaderlessMs: undefined,
      writesAfterwards: 0,
    },
  ];
}

/** What a replica wrote that only the leader may write, while the Lease named another. */
export function foreignWrites(fleet: Fleet, { name, proxy }: Replica, since: number): number {
  if (fleet.lease.history.length === 0) return 0;
  const writes = proxy.requests.calls(since, isLeadersWrite).filter(({ time }) => fleet.lease.at(time) !== name);
  for (const { verb, resource, path, time } of writes) {
    const holder = fleet.lease.at(time);
    process.stderr.write(`${name} wrote while ${holder || 'nobody'} led: ${verb} ${resource} ${path}\n`);
  }
  return writes.length;
}

/** What every replica applies when it starts, and what nothing changes that is applied twice: see NamespaceSetup. */
const ENSURED = ['namespaces', 'serviceaccounts', 'networkpolicies'];

/** Every replica accepts: it writes intents, deletes of intents, and Jobs. What labs consist of is the leader's alone. */
function isLeadersWrite({ verb, namespace, name, resource, url }: KubeRequest): boolean {
  if (['get', 'list', 'watch'].includes(verb) || url.includes('dryRun=All')) return false;
  if (ENSURED.includes(resource) && [namespace, name].includes(BUILDS)) return false;
  return namespace !== NAMESPACE && !['jobs', 'leases', 'selfsubjectaccessreviews'].includes(resource);
}
