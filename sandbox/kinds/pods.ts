import type { JsonObject, KubeObject } from '../objects.ts';
import { quantity } from '../quantity.ts';
import { coreType, listAt, objectAt, specOf, textAt } from './common.ts';
import { checkByRules } from './kubernetes-rules.ts';
import { checkPodSpec, checkPodUpdate } from './pod-rules.ts';

export const pods = coreType(
  { plural: 'pods', singular: 'pod', kind: 'Pod' },
  {
    hasStatus: true,
    returnsDeleted: true,
    fields: [
      ...['spec.nodeName', 'spec.restartPolicy', 'spec.schedulerName', 'spec.serviceAccountName', 'spec.hostNetwork'],
      ...['status.phase', 'status.podIP', 'status.nominatedNodeName'],
    ],
    defaults: withDefaults,
    initial: (object) => ({
      ...object,
      metadata: { ...object.metadata, generation: 1 },
      status: { phase: 'Pending', qosClass: qualityOfService(specOf(object)) },
    }),
    validate: (object) => {
      const causes = checkPodSpec(specOf(object));
      return causes.length > 0 ? causes : checkByRules('PodSpec', specOf(object), 'spec');
    },
    validateUpdate: checkPodUpdate,
  },
);

/** How long a taint of the node may last before the pod is evicted. */
const TOLERATIONS = ['not-ready', 'unreachable'].map((taint) => ({
  key: `node.kubernetes.io/${taint}`,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 300,
}));

function withDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  return {
    ...object,
    spec: {
      priority: 0,
      enableServiceLinks: true,
      preemptionPolicy: 'PreemptLowerPriority',
      ...withTemplateDefaults(spec),
      tolerations: withTolerations(listAt(spec, 'tolerations')),
      ...eachContainer(spec, (container) => withRequests(containerWithDefaults(container))),
    },
  };
}

/** What a pod's spec gets already where it is a template. */
export function withTemplateDefaults(spec: JsonObject): JsonObject {
  const account = textAt(spec, 'serviceAccountName');
  return {
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
    ...spec,
    ...(account === '' ? {} : { serviceAccount: account }),
    ...eachContainer(spec, containerWithDefaults),
  };
}

function withTolerations(own: readonly JsonObject[]): readonly JsonObject[] {
  const missing = TOLERATIONS.filter(
    ({ key }) => !own.some((toleration) => toleration['key'] === key || toleration['key'] === undefined),
  );
  return [...own, ...missing];
}

function eachContainer(spec: JsonObject, change: (container: JsonObject) => JsonObject): JsonObject {
  const fields = ['containers', 'initContainers'].filter((field) => Array.isArray(spec[field]));
  return Object.fromEntries(fields.map((field) => [field, listAt(spec, field).map(change)]));
}

/** What has a limit and no request requests its limit. */
function withRequests(container: JsonObject): JsonObject {
  const resources = objectAt(container, 'resources');
  const requests = { ...objectAt(resources, 'limits'), ...objectAt(resources, 'requests') };
  return Object.keys(requests).length === 0 ? container : { ...container, resources: { ...resources, requests } };
}

function containerWithDefaults(container: JsonObject): JsonObject {
  return {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: pullPolicy(textAt(container, 'image')),
    resources: {},
    ...container,
    ...('ports' in container
      ? { ports: listAt(container, 'ports').map((port) => ({ protocol: 'TCP', ...port })) }
      : {}),
  };
}

/** An image without a tag, or with `latest`, is pulled each time. */
function pullPolicy(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  if (name.includes('@')) return 'IfNotPresent';
  return (name.split(':')[1] ?? 'latest') === 'latest' ? 'Always' : 'IfNotPresent';
}

/** Kubernetes' class for eviction order: all limits given and equal to the requests, some of them, or none. */
function qualityOfService(spec: JsonObject): string {
  const resources = ['containers', 'initContainers']
    .flatMap((field) => listAt(spec, field))
    .map((container) => objectAt(container, 'resources'));
  const some = resources.some((r) =>
    ['cpu', 'memory'].some((n) => n in objectAt(r, 'requests') || n in objectAt(r, 'limits')),
  );
  if (!some) return 'BestEffort';
  const guaranteed = resources.every((r) =>
    ['cpu', 'memory'].every((name) => {
      const limit = objectAt(r, 'limits')[name];
      return limit !== undefined && quantity(limit) === quantity(objectAt(r, 'requests')[name]);
    }),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
