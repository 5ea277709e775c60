import type { LabObjects } from '../builder/lab/lab-builder.ts';
import { listObjects } from '../builder/manifest.ts';
import { originOf, parseField } from '../builder/lab/origin.ts';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { Config, LabSizeConfig } from '../config/index.ts';
import { checkKubernetes } from '../domain/kubernetes/check.ts';
import type { ChosenProfile } from '../domain/lab/lab.ts';
import { EXTRA_LABEL } from '../domain/lab/object-names.ts';
import { buildExampleLab } from './example-lab.ts';
import { exampleProfiles } from './example-profile.ts';
import type { Refusal, TryInCluster } from './try-in-cluster.ts';

/** What Kubernetes would refuse of labs of each size, with each overlay and of each profile, by its rules alone: a sentence each, which begins with the key. */
export function checkLabs(config: Config): string[] {
  const found = config.lab.sizes.flatMap((size) => {
    const { pod } = labOf(config, size);
    return checkKubernetes('PodSpec', pod.spec).map(
      ({ path, message }) => `${originOf(config.lab, pod, ['spec', ...path], size.name)}: ${message}`,
    );
  });
  const [size] = config.lab.sizes;
  const overlaid = config.overlays.flatMap(({ name }, index) =>
    size === undefined
      ? []
      : checkKubernetes('PodSpec', labOf(config, size, [name]).pod.spec).map(
          ({ path, message }) => `overlays[${String(index)}].lab: ${path.join('.')} of the pod: ${message}`,
        ),
  );
  const ofProfiles = exampleProfiles(config).flatMap(({ key, profile, size: named }) =>
    checkKubernetes('PodSpec', labOf(config, named, [], profile).pod.spec).map(
      ({ path, message }) => `${key}: ${path.join('.')} of the pod: ${message}`,
    ),
  );
  return found.length > 0 ? [...new Set(found)] : [...new Set([...overlaid, ...ofProfiles])];
}

/** What the cluster itself says of labs of each size, and of each profile as it is chosen beforehand. */
export async function tryLabs(config: Config, tryInCluster: TryInCluster): Promise<string[]> {
  const tries = [
    ...config.lab.sizes.map((size) => ({ objects: labOf(config, size), size: size.name, key: undefined })),
    ...exampleProfiles(config).flatMap(({ key, isPreset, profile, size }) =>
      isPreset ? [{ objects: labOf(config, size, [], profile), size: size.name, key }] : [],
    ),
  ];
  const answers = await tryInCluster(
    config,
    tries.map(({ objects }) => listObjects(objects)),
  );
  const said = tries.map(({ size, key }, index) =>
    (answers[index] ?? []).flatMap((refusal) =>
      key === undefined ? explain(config, refusal, size) : explainProfile(key, refusal),
    ),
  );
  const ofSizes = said.slice(0, config.lab.sizes.length).flat();
  // What holds for every lab has been said of the sizes.
  return [...new Set(ofSizes.length > 0 ? ofSizes : said.flat())];
}

const refuses = ({ kind }: KubernetesObject) => `the cluster refuses the ${kind ?? 'object'} of a lab`;

function explain(config: Config, { object, causes, message }: Refusal, size: string): string[] {
  const what = refuses(object);
  if (causes.length === 0) return [`${keyOfRefusal(config, object, message)}: ${what} of size ${size}: ${message}`];
  return causes.map((cause) => {
    const key = originOf(config.lab, object, parseField(cause.field), size);
    return `${key}: ${what}: ${cause.field}: ${cause.message}`;
  });
}

/** Its objects are made of more than `lab` alone, so that no key of it can be named. */
function explainProfile(key: string, { object, causes, message }: Refusal): string[] {
  const what = `${key}: ${refuses(object)}`;
  return causes.length === 0
    ? [`${what}: ${message}`]
    : causes.map((cause) => `${what}: ${cause.field}: ${cause.message}`);
}

/** Admission refuses an object as a whole, in words of its own. */
const ADMISSION: readonly (readonly [pattern: RegExp, key: string])[] = [
  [/PriorityClass/, 'lab.priorityClassName'],
  [/RuntimeClass/i, 'lab.runtimeClassName'],
  [/violates PodSecurity/, 'lab.podSecurity'],
  [/exceeded quota|usage per (?:Pod|Container)/, 'lab.sizes'],
];

function keyOfRefusal({ lab }: Config, object: KubernetesObject, message: string): string {
  const known = ADMISSION.find(([pattern]) => pattern.test(message))?.[1];
  return known ?? (object.metadata?.labels?.[EXTRA_LABEL] === undefined ? 'lab' : originOf(lab, object, [], ''));
}

/** A lab of one size, and of a profile if one is named, with all that labs may have. */
export function labOf(
  config: Config,
  size: LabSizeConfig,
  overlays: readonly string[] = [],
  profile?: ChosenProfile,
): LabObjects {
  const all = {
    displayName: undefined,
    uid: undefined,
    gid: undefined,
    groups: [],
    admin: false,
    debug: true,
    resetUserEnv: true,
    overlays,
    ...(profile && { profile }),
  };
  return buildExampleLab(config, { user: 'labwright-check', server: '', image: undefined, ...all }, size);
}
