import type { KubernetesObject } from '@kubernetes/client-node';
import { parseField } from '../builder/lab/origin.ts';
import type { BuildsConfig, Config } from '../config/index.ts';
import { labOf } from './check-labs.ts';
import { buildExampleBuild, listGround } from './example-build.ts';
import type { Refusal, TryInCluster } from './try-in-cluster.ts';

/** A commit of no repository: nothing is fetched. */
const NOBODYS = {
  path: '',
  requestedBy: 'labwright-check',
  repository: {
    provider: 'git',
    url: 'https://git.example/labwright-check',
    ref: 'main',
    commit: '0'.repeat(40),
    binderSlug: 'labwright-check',
  },
} as const;

/** Fields of a pod that are handed on from the key of `builds.pod` of the same name. */
const HANDED_ON = new Set([
  ...['tolerations', 'affinity', 'nodeSelector', 'priorityClassName', 'runtimeClassName', 'schedulerName'],
]);

/** Admission refuses an object as a whole, in words of its own. */
const ADMISSION: readonly (readonly [pattern: RegExp, key: string])[] = [
  [/PriorityClass/, 'builds.pod.priorityClassName'],
  [/RuntimeClass/i, 'builds.pod.runtimeClassName'],
  [/violates PodSecurity/, 'builds.podSecurity'],
];

/** Whether builds run in the cluster of the labs. */
export function buildsHere(builds: BuildsConfig): boolean {
  return builds.executors.some(({ kind }) => kind === 'cluster');
}

/** What the cluster itself says of a build that runs in it: a sentence each, which begins with the key. */
export async function tryBuild(config: Config, builds: BuildsConfig, tryInCluster: TryInCluster): Promise<string[]> {
  const { ground, job, secret } = buildExampleBuild(config, builds, NOBODYS);
  const [namespace = ground.namespace, ...others] = listGround(ground);
  // Kubernetes judges the pod of a Job only when it makes it.
  const pod = { ...job.spec?.template, apiVersion: 'v1', kind: 'Pod' };
  const named = { ...pod, metadata: { ...pod.metadata, name: job.metadata?.name ?? '' } };
  const objects = [collectable(config, namespace), ...others, secret, job, named];
  const [refusals = []] = await tryInCluster(config, [objects]);
  return [...new Set(refusals.flatMap(explain))];
}

/** As the namespace of a lab is labelled, so that the controller collects it where the command could not. */
function collectable(config: Config, namespace: KubernetesObject): KubernetesObject {
  const [size] = config.lab.sizes;
  const lab = size === undefined ? undefined : labOf(config, size).envSecret.metadata;
  const labels = { ...namespace.metadata?.labels, ...lab?.labels };
  return { ...namespace, metadata: { name: lab?.namespace ?? '', labels } };
}

function explain({ object, causes, message }: Refusal): string[] {
  const what = `the cluster refuses the ${object.kind ?? 'object'} of a build`;
  if (causes.length === 0) {
    const key = ADMISSION.find(([pattern]) => pattern.test(message))?.[1] ?? 'builds';
    return [`${key}: ${what}: ${message}`];
  }
  return causes.map((cause) => {
    const path = parseField(cause.field.replace(/^spec\.template\./, ''));
    const field = path[1];
    const key = typeof field === 'string' && HANDED_ON.has(field) ? `builds.pod.${field}` : 'builds';
    return `${key}: ${what}: ${cause.field}: ${cause.message}`;
  });
}
