import type { V1Pod } from '@kubernetes/client-node';
import { BUILD_LABEL } from '../../src/domain/build/build-intent.ts';
import { KIND_LABEL, LAB_LABEL } from '../../src/domain/names.ts';
import { ConfigMaps, Jobs, Pods, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { BUILDS, type Fleet, NAMESPACE } from './fleet.ts';
import type { Subject } from './subject.ts';

/** What must be so when everything has come to rest. @returns each thing that is not, in a sentence */
export async function violations(
  fleet: Fleet,
  labs: readonly Subject[],
  builds: readonly Subject[],
): Promise<string[]> {
  return [
    ...(await labViolations(fleet, labs)),
    ...(await buildViolations(fleet, builds)),
    ...(await disagreements(fleet, [...labs, ...builds])),
  ];
}

const userOf = ({ path }: Subject) => path.split('/').at(-1) ?? '';

async function labViolations({ client }: Fleet, labs: readonly Subject[]): Promise<string[]> {
  const found: string[] = [];
  const pods = (await client.list(Pods, { labelSelector: LAB_LABEL })).items;
  const secrets = (await client.list(Secrets, { metadataOnly: true })).items;
  const names = new Set(secrets.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`));
  const intents = secrets.filter(
    ({ metadata }) => metadata?.namespace === NAMESPACE && KIND_LABEL in (metadata.labels ?? {}),
  );
  const living = new Set(labs.filter(({ isAccepted, isRemoved }) => isAccepted && !isRemoved).map(userOf));
  const labOf = (metadata: { labels?: Record<string, string> } | undefined) => metadata?.labels?.[LAB_LABEL] ?? '';
  for (const user of living) {
    const own = pods.filter(({ metadata }) => labOf(metadata) === user);
    if (own.length !== 1) found.push(`the lab of ${user} has ${own.length} pods`);
    if (own.some(({ status }) => status?.phase !== 'Running')) found.push(`the pod of ${user} does not run`);
    if (intents.filter(({ metadata }) => labOf(metadata) === user).length !== 1) found.push(`${user} has no intent`);
    for (const pod of own) {
      for (const secret of secretsOf(pod)) {
        if (!names.has(`${pod.metadata?.namespace}/${secret}`)) found.push(`the lab of ${user} has lost ${secret}`);
      }
    }
  }
  for (const { metadata } of [...pods, ...intents]) {
    const user = labOf(metadata);
    if (user !== '' && !living.has(user)) found.push(`${metadata?.namespace}/${metadata?.name} belongs to no lab`);
  }
  return found;
}

function secretsOf({ spec }: V1Pod): string[] {
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const names = [
    ...containers.flatMap(({ envFrom = [] }) => envFrom.map(({ secretRef }) => secretRef?.name)),
    ...containers.flatMap(({ env = [] }) => env.map(({ valueFrom }) => valueFrom?.secretKeyRef?.name)),
    ...(spec?.volumes ?? []).map(({ secret }) => secret?.secretName),
  ];
  return names.filter((name) => name !== undefined);
}

async function buildViolations({ client }: Fleet, builds: readonly Subject[]): Promise<string[]> {
  const found: string[] = [];
  const jobs = (await client.list(Jobs, { namespace: BUILDS, metadataOnly: true })).items;
  const pods = (await client.list(Pods, { namespace: BUILDS })).items;
  const secrets = (await client.list(Secrets, { namespace: BUILDS, metadataOnly: true })).items;
  const ids = jobs.map(({ metadata }) => metadata?.labels?.[BUILD_LABEL] ?? '');
  const accepted = builds.filter(({ isAccepted }) => isAccepted).map(userOf);
  for (const id of accepted) {
    const count = ids.filter((each) => each === id).length;
    if (count !== 1) found.push(`the build ${id} has ${count} Jobs`);
  }
  for (const id of ids) if (!accepted.includes(id)) found.push(`the Job of ${id} belongs to no build`);
  for (const { metadata, status } of pods) {
    const isOver = status?.phase === 'Succeeded' || status?.phase === 'Failed';
    if (!isOver) found.push(`the pod ${metadata?.name} of a build that is over is ${status?.phase}`);
  }
  for (const { metadata } of secrets) found.push(`the Secret ${metadata?.name} of a build that is over is there`);
  const slots = await client.list(ConfigMaps, { namespace: BUILDS });
  for (const id of accepted) {
    if (JSON.stringify(slots.items.map(({ data }) => data)).includes(id)) found.push(`the build ${id} has its slot`);
  }
  return found;
}

/** Each replica by itself says what the cluster has. */
async function disagreements(fleet: Fleet, subjects: readonly Subject[]): Promise<string[]> {
  const found: string[] = [];
  for (const replica of fleet.running) {
    const client = fleet.clientOf(replica);
    for (const { path, isAccepted, isRemoved, routes, outcome } of subjects) {
      if (!isAccepted) continue;
      const { status, text } = await client.ask('GET', path).catch(() => ({ status: 0, text: '' }));
      if (isRemoved) {
        if (status !== 404) found.push(`${replica.name} answers ${status} for ${path}, which was removed`);
        continue;
      }
      const { status: state, phase } = (status === 200 ? JSON.parse(text) : {}) as { status?: string; phase?: string };
      const is = routes.name === 'lab' ? state : phase;
      const wanted = routes.name === 'lab' ? 'running' : outcome;
      if (is !== wanted)
        found.push(`${replica.name} says ${is ?? status} of ${path}, whose stream ended with ${outcome}`);
    }
  }
  return found;
}
