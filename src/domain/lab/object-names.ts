import { labSlug } from '../names.ts';
import type { LabKey } from './lab.ts';
import { LAB_CONTAINER } from './pod.ts';

/**
 * The names of a lab's objects. A namespace holds one lab, so inside it every name is fixed: "already exists" then is
 * the lock that keeps two spawns of one lab apart.
 */
export const ENV_SECRET_NAME = 'lab-env';
export const LAB_SECRET_NAME = 'lab-secrets';
export const PULL_SECRET_NAME = 'lab-pull-secret';
export const FILES_CONFIG_MAP_NAME = 'lab-files';
export const LIMIT_RANGE_NAME = 'lab';
export const RESOURCE_QUOTA_NAME = 'lab';
export const NETWORK_POLICY_NAME = 'lab';
export const SERVICE_NAME = 'lab';
export const POD_NAME = 'lab';

/** Value of the kind label on the objects of a lab. */
export const LAB_KIND = 'lab';
/** Value of the kind label on a lab's intent, in the controller's own namespace. */
export const LAB_INTENT_KIND = 'lab-intent';

/** Label and annotation of the pod: the spawn it was made for. */
export const SPAWN_LABEL = 'labwright.dev/spawn';
/** Annotation of the namespace: hash over everything that stays in it when the lab ends. */
export const SPEC_HASH_ANNOTATION = 'labwright.dev/spec-hash';
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

/** A lab's intent, a Secret in the controller's own namespace. */
export function intentName(slug: string): string {
  return `lab-${slug}`;
}

/** A lab's claim on a PVC volume. */
export function volumeClaimName(volume: string): string {
  return `lab-${volume}`;
}

/** Every name that follows from who the lab is for. */
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
 * Names the objects of one lab.
 *
 * @param namespacePrefix - `lab.namespacePrefix` of the configuration, at most 22 characters: with the slug's 40 and the
 *   dash between them, the namespace stays a DNS label.
 */
export function buildObjectNames(key: LabKey, namespacePrefix: string): LabObjectNames {
  const slug = labSlug(key);
  return {
    slug,
    namespace: `${namespacePrefix}-${slug}`,
    intent: intentName(slug),
    envSecret: ENV_SECRET_NAME,
    secret: LAB_SECRET_NAME,
    pullSecret: PULL_SECRET_NAME,
    files: FILES_CONFIG_MAP_NAME,
    limitRange: LIMIT_RANGE_NAME,
    resourceQuota: RESOURCE_QUOTA_NAME,
    networkPolicy: NETWORK_POLICY_NAME,
    service: SERVICE_NAME,
    pod: POD_NAME,
    container: LAB_CONTAINER,
  };
}
