import { listAt, objectAt, specOf, textAt } from '../kinds/common.ts';
import { pods } from '../kinds/pods.ts';
import { resourceQuotas } from '../kinds/resource-quotas.ts';
import type { JsonObject, KubeObject } from '../objects.ts';
import { formatQuantity, quantity } from '../quantity.ts';
import { forbidden } from '../status.ts';
import type { Store } from '../store.ts';

type Usage = Readonly<Record<string, number>>;

/** @throws ApiError 403 when a pod does not fit in a ResourceQuota of its namespace */
export function checkQuotas(store: Store, pod: KubeObject): void {
  const { namespace = '', name } = pod.metadata;
  for (const quota of store.objects(resourceQuotas, namespace)) {
    const hard = objectAt(specOf(quota), 'hard');
    checkSpecified(pod, quota.metadata.name, Object.keys(hard));
    const used = namespaceUsage(store, namespace, Object.keys(hard));
    const requested = podUsage(pod, Object.keys(hard));
    const over = Object.keys(hard)
      .filter((key) => (requested[key] ?? 0) > 0 && (used[key] ?? 0) + (requested[key] ?? 0) > quantity(hard[key]))
      .sort();
    if (over.length === 0) continue;
    const list = (usage: Usage) => over.map((key) => `${key}=${formatQuantity(usage[key] ?? 0)}`).join(',');
    const limited = over.map((key) => `${key}=${String(hard[key])}`).join(',');
    const numbers = `requested: ${list(requested)}, used: ${list(used)}, limited: ${limited}`;
    throw forbidden(pods, name, `exceeded quota: ${quota.metadata.name}, ${numbers}`);
  }
}

/** What a quota's status says; the quota controller writes it. */
export function quotaStatus(store: Store, quota: KubeObject): JsonObject {
  const hard = objectAt(specOf(quota), 'hard');
  const used = namespaceUsage(store, quota.metadata.namespace ?? '', Object.keys(hard));
  return {
    hard,
    used: Object.fromEntries(Object.keys(hard).map((key) => [key, formatQuantity(used[key] ?? 0)])),
  };
}

function namespaceUsage(store: Store, namespace: string, keys: readonly string[]): Usage {
  const total: Record<string, number> = {};
  for (const pod of store.objects(pods, namespace)) {
    const phase = textAt(objectAt(pod, 'status'), 'phase');
    if (phase === 'Succeeded' || phase === 'Failed') continue;
    for (const [key, amount] of Object.entries(podUsage(pod, keys))) total[key] = (total[key] ?? 0) + amount;
  }
  return total;
}

/** Containers run together, init containers one after the other before them: the larger of the two counts. */
function podUsage(pod: KubeObject, keys: readonly string[]): Usage {
  const spec = specOf(pod);
  const amounts = keys.map((key) => {
    if (key === 'pods') return [key, 1] as const;
    const { field, resource } = locate(key);
    const amountsOf = (list: string) =>
      listAt(spec, list).map((container) => quantity(objectAt(objectAt(container, 'resources'), field)[resource]));
    const together = amountsOf('containers').reduce((sum, amount) => sum + amount, 0);
    return [key, Math.max(together, ...amountsOf('initContainers'))] as const;
  });
  return Object.fromEntries(amounts);
}

function locate(key: string): { field: 'limits' | 'requests'; resource: string } {
  if (key.startsWith('limits.')) return { field: 'limits', resource: key.slice('limits.'.length) };
  return { field: 'requests', resource: key.replace(/^requests\./, '') };
}

/** A quota on limits or requests makes every container say them. */
function checkSpecified(pod: KubeObject, quota: string, keys: readonly string[]): void {
  const computed = keys.filter((key) => /^(?:(?:requests|limits)\.)?(?:cpu|memory)$/.test(key)).sort();
  const missing = computed
    .map((key) => {
      const { field, resource } = locate(key);
      const without = listAt(specOf(pod), 'containers').filter(
        (container) => !(resource in objectAt(objectAt(container, 'resources'), field)),
      );
      return { key, names: without.map((container) => textAt(container, 'name')) };
    })
    .filter(({ names }) => names.length > 0)
    .map(({ key, names }) => `${key} for: ${names.join(',')}`);
  if (missing.length === 0) return;
  throw forbidden(pods, pod.metadata.name, `failed quota: ${quota}: must specify ${missing.join('; ')}`);
}
