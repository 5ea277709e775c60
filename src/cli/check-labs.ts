import type { LabObjects } from '../builder/lab/lab-builder.ts';
import { listObjects } from '../builder/manifest.ts';
import { originOf, parseField } from '../builder/lab/origin.ts';
import { type Config, defaultOf, type LabSizeConfig, namedSize, profileLayers } from '../config/index.ts';
import { checkKubernetes } from '../domain/kubernetes/check.ts';
import type { ChosenProfile } from '../domain/lab/lab.ts';
import { buildExampleLab } from './example-lab.ts';
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

interface ExampleProfile {
  /** Where it stands in the configuration. */
  readonly key: string;
  readonly profile: ChosenProfile;
  readonly size: LabSizeConfig;
}

/** Each profile as it is chosen beforehand, and once more with each other choice. */
function exampleProfiles({ lab }: Config): ExampleProfile[] {
  return lab.profiles.flatMap(({ name, options }, index) => {
    const key = `lab.profiles[${String(index)}]`;
    const preset = Object.entries(options).flatMap(([option, { choices }]) => {
      const choice = defaultOf(choices);
      return choice === undefined ? [] : [[option, { choice: choice.name }] as const];
    });
    const choices = Object.entries(options).flatMap(([option, { choices: all }]) =>
      all.map((choice, at) => ({
        key: `${key}.options.${option}.choices[${String(at)}]`,
        chosen: [option, { choice: choice.name }] as const,
      })),
    );
    return [{ key, chosen: undefined }, ...choices].flatMap(({ key: place, chosen }) => {
      const profile = { name, options: Object.fromEntries(chosen === undefined ? preset : [...preset, chosen]) };
      const named = namedSize(profileLayers(lab.profiles, profile));
      const size = lab.sizes.find((each) => each.name === (named ?? lab.defaultSize));
      return size === undefined ? [] : [{ key: place, profile, size }];
    });
  });
}

/** What the cluster itself says of labs of each size. */
export async function tryLabs(config: Config, tryInCluster: TryInCluster): Promise<string[]> {
  const { sizes } = config.lab;
  const answers = await tryInCluster(
    config,
    sizes.map((size) => listObjects(labOf(config, size))),
  );
  const found = answers.flatMap((refusals, index) => {
    const size = sizes[index]?.name ?? '';
    return refusals.flatMap((refusal) => explain(config, refusal, size));
  });
  return [...new Set(found)];
}

function explain(config: Config, { object, causes, message }: Refusal, size: string): string[] {
  const what = `the cluster refuses the ${object.kind ?? 'object'} of a lab`;
  if (causes.length === 0) return [`${keyOfMessage(message)}: ${what} of size ${size}: ${message}`];
  return causes.map((cause) => {
    const key = originOf(config.lab, object, parseField(cause.field), size);
    return `${key}: ${what}: ${cause.field}: ${cause.message}`;
  });
}

/** Admission refuses an object as a whole, in words of its own. */
const ADMISSION: readonly (readonly [pattern: RegExp, key: string])[] = [
  [/PriorityClass/, 'lab.priorityClassName'],
  [/RuntimeClass/i, 'lab.runtimeClassName'],
  [/violates PodSecurity/, 'lab.podSecurity'],
  [/exceeded quota|usage per (?:Pod|Container)/, 'lab.sizes'],
];

function keyOfMessage(message: string): string {
  return ADMISSION.find(([pattern]) => pattern.test(message))?.[1] ?? 'lab';
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
