import type { V1ConfigMap } from '@kubernetes/client-node';
import type { BuildSlot } from './build-queue.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../names.ts';

/**
 * The ConfigMap with the admitted builds. Every change replaces the version that was read, so that several replicas keep the
 * bounds together: the API server lets one of two writers win.
 */
export const SLOTS_NAME = 'labwright-build-slots';
const SLOTS_KEY = 'slots.json';
const SLOTS_KIND = 'build-slots';

/** @param resourceVersion of the version that is replaced; absent for the first one */
export function buildSlotsMap(
  slots: readonly BuildSlot[],
  where: { readonly controller: string; readonly namespace: string },
  resourceVersion?: string,
): V1ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: SLOTS_NAME,
      namespace: where.namespace,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: {
        [MANAGED_BY_LABEL]: MANAGED_BY,
        [KIND_LABEL]: SLOTS_KIND,
        [CONTROLLER_LABEL]: where.controller,
      },
    },
    data: { [SLOTS_KEY]: JSON.stringify(slots) },
  };
}

/** What stands in it; what somebody has damaged is left out. */
export function parseSlots({ data }: V1ConfigMap): BuildSlot[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(data?.[SLOTS_KEY] ?? '[]');
  } catch {
    return [];
  }
  return Array.isArray(parsed) ? parsed.filter(isSlot) : [];
}

function isSlot(value: unknown): value is BuildSlot {
  if (typeof value !== 'object' || value === null) return false;
  const { id, uid, user, repository, executor, at } = value as { [Key in keyof BuildSlot]?: unknown };
  return [id, uid, user, repository, executor].every((text) => typeof text === 'string') && typeof at === 'number';
}
