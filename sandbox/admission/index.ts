import { pods } from '../kinds/pods.ts';
import type { KubeObject } from '../objects.ts';
import type { ResourceType } from '../resource-type.ts';
import type { Store } from '../store.ts';
import { applyLimitRanges, checkLimitRanges } from './limit-ranger.ts';
import { checkNamespace } from './namespace-lifecycle.ts';
import { checkPodSecurity } from './pod-security.ts';
import { checkQuotas } from './resource-quota.ts';
import { admitServiceAccount } from './service-account.ts';

/** The admission plugins that change a new object or refuse it before it is validated, in the server's order. */
export function admitCreate(store: Store, type: ResourceType, object: KubeObject): KubeObject {
  checkNamespace(store, type, object);
  return type === pods ? admitServiceAccount(store, applyLimitRanges(store, object)) : object;
}

/** The admission plugins that look at a new object after it was validated; the quota comes last. */
export function checkCreate(store: Store, type: ResourceType, object: KubeObject): void {
  if (type !== pods) return;
  checkLimitRanges(store, object);
  checkPodSecurity(store, object);
  checkQuotas(store, object);
}
