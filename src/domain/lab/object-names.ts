import { labSlug } from '../names.ts';
import type { LabKey, LabSpec } from './lab.ts';
import { LAB_CONTAINER } from './pod.ts';

/** Name of the pod and the Service of a lab with a namespace of its own, and of what bounds and isolates it there. */
const OWN_NAME = 'lab';
/** Prefix of the names of a lab's Secrets, files and claims in a namespace of its own. */
const OWN_PREFIX = 'lab';
/** The quota and the policy of a lab are looked for by these names also where the lab has none of its own any more. */
export const RESOURCE_QUOTA_NAME = OWN_NAME;
export const NETWORK_POLICY_NAME = OWN_NAME;
/** Name of a lab's pod in a namespace that labs share, where the configuration says nothing else. */
export const DEFAULT_POD_NAME = 'lab-{slug}';
/** The policy of all labs in a namespace that they share. */
export const SHARED_NETWORK_POLICY_NAME = 'labwright-labs';

/** Value of the kind label on the objects of a lab. */
export const LAB_KIND = 'lab';
/** Value of the kind label on a lab's intent, in the controller's own namespace. */
export const LAB_INTENT_KIND = 'lab-intent';

/** Label and annotation of the pod: the spawn it was made for. */
export const SPAWN_LABEL = 'labwright.dev/spawn';
/** Annotation of the namespace: hash over everything that stays in it when the lab ends. */
export const SPEC_HASH_ANNOTATION = 'labwright.dev/spec-hash';
/** Label of what the configuration gives labs beside Labwright's own objects. */
export const EXTRA_LABEL = 'labwright.dev/extra';
/** Label of a claim that stays, and keeps its namespace, when the lab ends. */
export const RETAIN_LABEL = 'labwright.dev/retain';
/** Annotation of a namespace that holds such a claim: it is never collected. */
export const PERMANENT_ANNOTATION = 'labwright.dev/permanent';
/** Annotation of a namespace: since when it is kept without a lab. */
export const KEPT_SINCE_ANNOTATION = 'labwright.dev/kept-since';
/** Annotation of a pod: the cluster IP of its lab's Service, where labs are reached by it. */
export const SERVICE_IP_ANNOTATION = 'labwright.dev/service-ip';
/** Annotation of an intent and of the pod that was made for it: what was asked for, without what is secret. */
export const LAB_SPEC_ANNOTATION = 'labwright.dev/spec';
/** Annotation of a namespace: the last spawn that was ended in it. */
export const ENDED_SPAWN_ANNOTATION = 'labwright.dev/ended-spawn';
/** Annotation of a pod: how its lab is reached, as it was made. */
export const ADDRESSING_ANNOTATION = 'labwright.dev/addressing';
/** Annotations of every object: the identity as the hub writes it. */
export const USERNAME_ANNOTATION = 'labwright.dev/username';
export const SERVERNAME_ANNOTATION = 'labwright.dev/servername';

/** The same as KubeSpawner writes it on its pods and claims. */
export const KUBESPAWNER_USERNAME_ANNOTATION = 'hub.jupyter.org/username';

/** A lab's intent, a Secret in the controller's own namespace. */
export function intentName(slug: string): string {
  return `lab-${slug}`;
}

/** A lab's claim on a PVC volume that says no name, in a namespace of its own; `objectName` is that of a lab elsewhere. */
export function volumeClaimName(volume: string, objectName = OWN_PREFIX): string {
  return `${objectName}-${volume}`;
}

/** Name of a lab's pod. */
export function podNameOf({ objectName = OWN_NAME }: Pick<LabSpec, 'objectName'>): string {
  return objectName;
}

/** The name every pod has that is alone in its namespace. */
export const OWN_POD_NAME = OWN_NAME;

/**
 * What the names of Labwright's own objects of a lab are or begin with, as it is written before the user stands in it.
 *
 * @param shared `lab.podName`, where labs share a namespace
 */
export function ownBaseName(shared: { readonly podName?: string | undefined }): string {
  return 'podName' in shared ? (shared.podName ?? DEFAULT_POD_NAME) : OWN_NAME;
}

/** Every name that follows from whom the lab is for and where it is. */
export interface LabObjectNames {
  /** Value of the lab label; the key of the work queue. */
  readonly slug: string;
  readonly namespace: string;
  /** Secret in the controller's own namespace that holds the intent. */
  readonly intent: string;
  readonly envSecret: string;
  readonly secret: string;
  readonly pullSecret: string;
  readonly files: string;
  readonly limitRange: string;
  readonly resourceQuota: string;
  readonly networkPolicy: string;
  readonly service: string;
  readonly pod: string;
  readonly container: string;
}

/**
 * Names the objects of one lab. In a namespace that holds one lab, every name is fixed; in one that labs share, they begin with the name
 * of the lab's pod. Either way "already exists" is the lock that keeps two spawns of one lab apart.
 *
 * @param place where the lab is, as its specification says
 */
export function buildObjectNames(key: LabKey, place: Pick<LabSpec, 'namespace' | 'objectName'>): LabObjectNames {
  const slug = labSlug(key);
  const prefix = place.objectName ?? OWN_PREFIX;
  return {
    slug,
    namespace: place.namespace,
    intent: intentName(slug),
    envSecret: `${prefix}-env`,
    secret: `${prefix}-secrets`,
    pullSecret: `${prefix}-pull-secret`,
    files: `${prefix}-files`,
    limitRange: OWN_NAME,
    resourceQuota: RESOURCE_QUOTA_NAME,
    networkPolicy: NETWORK_POLICY_NAME,
    service: podNameOf(place),
    pod: podNameOf(place),
    container: LAB_CONTAINER,
  };
}
