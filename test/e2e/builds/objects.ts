import type { KubernetesObject, V1Job, V1Pod } from '@kubernetes/client-node';
import { text } from 'node:stream/consumers';
import { BUILD_LABEL, buildObjectName } from '../../../src/domain/build/build-intent.ts';
import { parseSlots, SLOTS_NAME } from '../../../src/domain/build/build-slots.ts';
import {
  ConfigMaps,
  Events,
  Jobs,
  Namespaces,
  NetworkPolicies,
  Pods,
  type Resource,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../../src/storage/kubernetes/resources.ts';
import { watchObject } from '../../support/canary.ts';
import { askAgain, waitFor } from '../../support/wait-for.ts';
import type { Labwright } from './labwright.ts';
import type { BuildScene } from './setting.ts';

const KINDS: readonly Resource<KubernetesObject>[] = [
  Pods,
  Jobs,
  Secrets,
  ConfigMaps,
  Services,
  ServiceAccounts,
  Events,
  NetworkPolicies,
];

/** Looks for planted credentials in all objects of the namespaces of this run. @returns how many there are */
export async function watchObjects({ cluster }: BuildScene): Promise<number> {
  const { client, prefix } = cluster;
  let count = 0;
  const namespaces = (await client.list(Namespaces)).items.map(({ metadata }) => metadata?.name ?? '');
  for (const namespace of namespaces.filter((name) => name.startsWith(prefix))) {
    for (const kind of KINDS) {
      // Items of a list do not say what they are, and what is in a Secret is where it belongs.
      for (const item of (await client.list(kind, { namespace })).items) {
        watchObject({ ...item, kind: kind.kind }, `${kind.kind} in ${namespace}`);
        count += 1;
      }
    }
  }
  return count;
}

export function jobsOf({ cluster }: BuildScene, { buildNamespace }: Labwright): Promise<V1Job[]> {
  return cluster.client.list(Jobs, { namespace: buildNamespace }).then(({ items }) => items);
}

export async function podsOf({ cluster }: BuildScene, { buildNamespace }: Labwright, id?: string): Promise<V1Pod[]> {
  const selector = id === undefined ? {} : { labelSelector: `${BUILD_LABEL}=${id}` };
  return (await cluster.client.list(Pods, { namespace: buildNamespace, ...selector })).items;
}

/** The pod of a build, once it is there. */
export function podOf(scene: BuildScene, labwright: Labwright, id: string): Promise<V1Pod> {
  return waitFor(`the pod of ${id}`, 60_000, async () => (await podsOf(scene, labwright, id))[0]);
}

/** What the pod of a build has written, as Kubernetes has it. */
export async function podLog({ cluster }: BuildScene, labwright: Labwright, pod: V1Pod): Promise<string> {
  const ref = { namespace: labwright.buildNamespace, name: pod.metadata?.name ?? '' };
  return text(
    await cluster.client.podLog(ref, {
      container: 'builder',
      follow: false,
      timestamps: false,
      signal: AbortSignal.timeout(30_000),
    }),
  );
}

/** Nothing of the build runs any more, its Secret is gone and its place is free. @returns what is still there */
async function leftovers(scene: BuildScene, labwright: Labwright, id?: string): Promise<string[]> {
  const { client } = scene.cluster;
  const { buildNamespace: namespace } = labwright;
  const [pods, secrets, slots] = await Promise.all([
    podsOf(scene, labwright, id),
    client.list(Secrets, { namespace, metadataOnly: true }),
    client.get(ConfigMaps, { namespace, name: SLOTS_NAME }),
  ]);
  const isMine = (name: string | undefined) => id === undefined || name === buildObjectName(id);
  return [
    ...pods.filter(({ status }) => status?.phase === 'Running' || status?.phase === 'Pending').map(() => 'a pod'),
    ...secrets.items.filter(({ metadata }) => isMine(metadata?.name)).map(() => 'a Secret'),
    ...parseSlots(slots ?? {}).flatMap((slot) => (id === undefined || slot.id === id ? ['a slot'] : [])),
  ];
}

/** Waits until nothing of it is left. @throws Error that says what is */
export async function cleanedUp(scene: BuildScene, labwright: Labwright, id?: string): Promise<void> {
  await askAgain({
    ask: () => leftovers(scene, labwright, id),
    isWanted: (left) => left.length === 0,
    timeoutMs: 60_000,
    intervalMs: 50,
    complaint: (left) => `After a minute there is still ${left.join(', ')}`,
  });
}
