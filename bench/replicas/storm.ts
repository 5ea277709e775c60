import { setTimeout as delay } from 'node:timers/promises';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces, type Resource, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { callFaults, WATCH_FAULTS } from '../../test/support/every-fault.ts';
import type { OnCall } from '../../test/support/fault-proxy.ts';
import type { Disturbance } from './disturbances.ts';
import { type Fleet, NAMESPACE } from './fleet.ts';

const CALL_FAULTS = callFaults(500);
const CALL_SHARE = 0.12;
const WATCH_SHARE = 0.5;
const MOST_FRAMES = 40;
const KILL_MS = [7_000, 10_000] as const;
const RESTART_MS = 1_000;

/** Every fault that the proxy knows, now and then, at any call of any replica. @returns what stops it, and says how many there were */
export function unleash(fleet: Fleet, random: () => number): () => number {
  let injected = 0;
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const chaos: OnCall = (_n, { verb, subresource }) => {
    const isStream = verb === 'watch' || subresource === 'log';
    if (random() >= (isStream ? WATCH_SHARE : CALL_SHARE)) return 'pass';
    injected += 1;
    if (!isStream) return pick(CALL_FAULTS);
    const frames = Math.floor(random() * MOST_FRAMES);
    // A log that ends early looks to everybody like one that is over: it breaks.
    return subresource === 'log'
      ? { watch: { frames, then: 'reset' } }
      : { watch: { frames, then: pick(WATCH_FAULTS), duplicate: random() < 0.3 } };
  };
  for (const { proxy } of fleet.replicas) proxy.onCall = chaos;
  return () => {
    for (const { proxy } of fleet.replicas) proxy.onCall = () => 'pass';
    return injected;
  };
}

/** Kills the replica that leads, or any, every few seconds until it is time to end. */
export async function killAgainAndAgain(
  fleet: Fleet,
  random: () => number,
  isOver: () => boolean,
): Promise<Disturbance[]> {
  const seen: Disturbance[] = [];
  for (;;) {
    await delay(KILL_MS[0] + random() * (KILL_MS[1] - KILL_MS[0]));
    if (isOver()) return seen;
    const victim = fleet.leader ?? fleet.running[0];
    if (victim === undefined) continue;
    await fleet.kill(victim);
    await delay(RESTART_MS);
    await fleet.begin(victim);
    seen.push({ what: 'kill -9', leaderlessMs: undefined, writesAfterwards: 0 });
  }
}

const FOREIGN = 'somebody-else';
const HERE: readonly {
  readonly resource: Resource<KubernetesObject>;
  readonly namespace: string;
  readonly name: string;
}[] = [
  { resource: Secrets, namespace: FOREIGN, name: 'lab-env' },
  { resource: ConfigMaps, namespace: FOREIGN, name: 'lab-files' },
  { resource: Secrets, namespace: NAMESPACE, name: 'hub-secret' },
  { resource: ConfigMaps, namespace: NAMESPACE, name: 'hub-config' },
];

/** Objects of somebody else, some with the names of ours. @returns finds which of them were touched */
export async function foreignObjects(client: KubeClient): Promise<() => Promise<string[]>> {
  await client.create(Namespaces, { metadata: { name: FOREIGN } });
  const before = new Map<string, string>();
  const versionOf = (object: KubernetesObject | undefined) =>
    `${object?.metadata?.uid ?? 'gone'} ${object?.metadata?.resourceVersion ?? ''}`;
  for (const { resource, namespace, name } of HERE) {
    before.set(`${namespace}/${name}`, versionOf(await client.create(resource, { metadata: { namespace, name } })));
  }
  return async () => {
    const touched: string[] = [];
    for (const { resource, namespace, name } of HERE) {
      const now = versionOf(await client.get(resource, { namespace, name }));
      if (now !== before.get(`${namespace}/${name}`)) touched.push(`${resource.kind} ${namespace}/${name} was touched`);
    }
    return touched;
  };
}
