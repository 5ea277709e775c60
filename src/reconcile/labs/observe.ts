import type { KubernetesObject, V1Container, V1ContainerStatus, V1ObjectMeta, V1Pod } from '@kubernetes/client-node';
import { CONTROLLER_LABEL, KIND_LABEL, LAB_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { parseAddressing } from '../../domain/lab/internal-url.ts';
import type { ObservedIntent, ObservedNamespace, ObservedService } from '../../domain/lab/observed.ts';
import {
  type EndingFacts,
  LAB_CONTAINER,
  type ObservedContainer,
  type ObservedPod,
  type PodFacts,
} from '../../domain/lab/pod.ts';
import {
  ADDRESSING_ANNOTATION,
  EXTRA_LABEL,
  KEPT_SINCE_ANNOTATION,
  LAB_KIND,
  PERMANENT_ANNOTATION,
  SERVERNAME_ANNOTATION,
  SERVICE_IP_ANNOTATION,
  SPAWN_LABEL,
  SPEC_HASH_ANNOTATION,
  USERNAME_ANNOTATION,
} from '../../domain/lab/object-names.ts';

/** Selects what belongs to the labs of one controller. */
export function labSelector(controller: string, kind: string): string {
  return `${MANAGED_BY_LABEL}=${MANAGED_BY},${CONTROLLER_LABEL}=${controller},${KIND_LABEL}=${kind}`;
}

/** Selects the objects of one lab. */
export function oneLabSelector(controller: string, slug: string): string {
  return `${labSelector(controller, LAB_KIND)},${LAB_LABEL}=${slug}`;
}

/**
 * Selects what one spawn has made, and what those have left that it took the place of. Never anything of a spawn that has
 * followed, which a replica with an old cache does not know of.
 */
export function spawnSelector(controller: string, { slug, spec }: Pick<ObservedIntent, 'slug' | 'spec'>): string {
  const all = oneLabSelector(controller, slug);
  // Secrets of labs from before they had the label cannot be told apart.
  if (spec.earlierSpawns === undefined) return all;
  return `${all},${SPAWN_LABEL} in (${[spec.spawnId, ...spec.earlierSpawns].join(',')})`;
}

/** Selects what this spawn has made and no other; of a spawn from before there was a label, everything of its lab. */
export function oneSpawnSelector(controller: string, slug: string, spawnId: string): string {
  const all = oneLabSelector(controller, slug);
  return spawnId === '' ? all : `${all},${SPAWN_LABEL}=${spawnId}`;
}

/** Whether an object was made by this controller for this lab. */
export function isOurs(object: KubernetesObject, controller: string, slug: string): boolean {
  const labels = object.metadata?.labels ?? {};
  return (
    labels[MANAGED_BY_LABEL] === MANAGED_BY &&
    labels[CONTROLLER_LABEL] === controller &&
    labels[KIND_LABEL] === LAB_KIND &&
    labels[LAB_LABEL] === slug
  );
}

/** What is kept of a namespace; undefined for one without a lab. */
export function observeNamespace({ metadata }: KubernetesObject): ObservedNamespace | undefined {
  const slug = metadata?.labels?.[LAB_LABEL];
  if (metadata?.name === undefined || slug === undefined) return undefined;
  const annotations = metadata.annotations ?? {};
  return {
    slug,
    name: metadata.name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    username: annotations[USERNAME_ANNOTATION] ?? '',
    servername: annotations[SERVERNAME_ANNOTATION] ?? '',
    terminating: metadata.deletionTimestamp !== undefined,
    specHash: annotations[SPEC_HASH_ANNOTATION] ?? null,
    keptSince: time(annotations[KEPT_SINCE_ANNOTATION]),
    permanent: annotations[PERMANENT_ANNOTATION] === 'true',
  };
}

/** What is kept of a Service; undefined for one without a lab, and for one that a lab has beside its own. */
export function observeService({ metadata }: KubernetesObject): ObservedService | undefined {
  const slug = metadata?.labels?.[LAB_LABEL];
  if (metadata?.name === undefined || slug === undefined) return undefined;
  if (metadata.labels?.[EXTRA_LABEL] !== undefined) return undefined;
  return {
    slug,
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    spawnId: metadata.labels?.[SPAWN_LABEL] ?? '',
  };
}

/** What is kept of a pod; undefined for one without a lab. */
export function observePod(pod: V1Pod): ObservedPod | undefined {
  const { metadata, status } = pod;
  const slug = metadata?.labels?.[LAB_LABEL];
  if (metadata?.namespace === undefined || slug === undefined) return undefined;
  return {
    namespace: metadata.namespace,
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    slug,
    spawnId: metadata.labels?.[SPAWN_LABEL] ?? '',
    started: status?.containerStatuses?.find(({ name }) => name === LAB_CONTAINER)?.started === true,
    serviceIp: metadata.annotations?.[SERVICE_IP_ANNOTATION] ?? null,
    addressing: observeAddressing(pod),
    ...podFacts(pod),
  };
}

/** How the lab is reached. Pods from before there was the annotation have their port, and the address of their Service. */
function observeAddressing({ metadata, spec }: V1Pod): ObservedPod['addressing'] {
  const { annotations = {} } = metadata ?? {};
  const containers: V1Container[] | undefined = spec?.containers;
  const port = containers?.find(({ name }) => name === LAB_CONTAINER)?.ports?.[0]?.containerPort;
  return {
    ...(port === undefined ? {} : { port }),
    ...(annotations[SERVICE_IP_ANNOTATION] === undefined ? {} : { mode: 'serviceIp' }),
    ...parseAddressing(annotations[ADDRESSING_ANNOTATION]),
  };
}

/** What the cluster says of any pod. */
export function podFacts({ metadata, spec, status = {} }: V1Pod): PodFacts {
  const condition = (type: string) => status.conditions?.find((candidate) => candidate.type === type);
  const scheduled = condition('PodScheduled');
  const disruption = condition('DisruptionTarget');
  const sidecars = sidecarsOf(spec);
  const waitsForNode = scheduled?.status === 'False' && scheduled.reason === 'Unschedulable';
  return {
    phase: (status.phase ?? 'Pending') as PodFacts['phase'],
    ready: condition('Ready')?.status === 'True',
    ...endingFacts(metadata),
    node: spec?.nodeName ?? null,
    podIp: status.podIP ?? null,
    reason: status.reason ?? null,
    message: status.message ?? null,
    unschedulable: waitsForNode ? (scheduled.message ?? '') : null,
    disruption: disruption?.status === 'True' ? (disruption.reason ?? '') : null,
    containers: [
      ...(status.initContainerStatuses ?? []).map((container) =>
        observeContainer(container, !sidecars.has(container.name)),
      ),
      ...(status.containerStatuses ?? []).map((container) => observeContainer(container, false)),
    ],
  };
}

function endingFacts({ deletionTimestamp, finalizers }: V1ObjectMeta = {}): EndingFacts {
  return {
    terminating: deletionTimestamp !== undefined,
    goneBy: time(deletionTimestamp),
    finalizers: finalizers ?? [],
  };
}

/** `restartPolicy: Always` makes an init container a sidecar. */
function sidecarsOf(spec: V1Pod['spec']): ReadonlySet<string> {
  const all = spec?.initContainers ?? [];
  return new Set(all.filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
}

function observeContainer({ name, restartCount, state, imageID }: V1ContainerStatus, init: boolean): ObservedContainer {
  const { waiting, terminated, running } = state ?? {};
  return {
    name,
    init,
    restarts: restartCount,
    waiting: waiting === undefined ? null : { reason: waiting.reason ?? '', message: waiting.message ?? '' },
    terminated:
      terminated === undefined
        ? null
        : {
            reason: terminated.reason ?? '',
            exitCode: terminated.exitCode,
            message: terminated.message ?? '',
            finishedAt: time(terminated.finishedAt),
          },
    runningSince: running === undefined ? null : time(running.startedAt),
    imageDigest: /sha256:[0-9a-f]{64}/.exec(imageID)?.[0] ?? null,
  };
}

/** Times arrive as text, since the client does not turn JSON into class instances, or as null when they are not known. */
function time(value: Date | string | null | undefined): number | null {
  if (value === undefined || value === null) return null;
  const at = new Date(value).getTime();
  return Number.isNaN(at) ? null : at;
}
