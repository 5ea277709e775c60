import type { ChosenProfile, LabResources, OptionChoice } from '../domain/lab/lab.ts';
import type { LabConfig, ProfileConfig, ProfileOptionConfig } from './config.ts';
import type { LabOverlay } from './lab-overlay.ts';
import { fill, fillOverlay } from './write-in.ts';

/** What a profile, or a choice of one, lays over what was there before. */
export interface ProfileLayer {
  readonly image?: string;
  readonly size?: string;
  readonly cpu?: number;
  readonly memory?: number;
  readonly cpuRequest?: number;
  readonly memoryRequest?: number;
  readonly extendedResources?: Readonly<Record<string, string>>;
  readonly lab?: LabOverlay;
}

/**
 * The layers of the profile that was chosen: its own, then one for each of its options in the order of the configuration. What is not there
 * any more changes nothing.
 */
export function profileLayers(
  profiles: readonly ProfileConfig[],
  chosen: ChosenProfile | undefined,
): readonly ProfileLayer[] {
  const profile = profiles.find(({ name }) => name === chosen?.name);
  if (profile === undefined || chosen === undefined) return [];
  const ofOptions = Object.entries(profile.options).flatMap(([name, option]) => {
    const choice = Object.hasOwn(chosen.options, name) ? chosen.options[name] : undefined;
    return choice === undefined ? [] : (layerOf(option, choice) ?? []);
  });
  return [profile, ...ofOptions];
}

function layerOf(
  { choices, writeIn, repository }: ProfileOptionConfig,
  chosen: OptionChoice,
): ProfileLayer | undefined {
  if ('choice' in chosen) return choices.find(({ name }) => name === chosen.choice);
  if ('repository' in chosen) return repository;
  if (writeIn === undefined) return undefined;
  const { image, lab, ...others } = writeIn;
  return {
    ...others,
    ...(image === undefined ? {} : { image: fill(image, chosen.writeIn) }),
    ...(lab === undefined ? {} : { lab: fillOverlay(lab, chosen.writeIn) }),
  };
}

/** Every layer that some choice could add to a profile. */
function allLayers(profile: ProfileConfig): readonly ProfileLayer[] {
  const ofOptions = Object.values(profile.options).flatMap(({ choices, writeIn, repository }) => [
    ...choices,
    ...(writeIn === undefined ? [] : [writeIn]),
    ...(repository === undefined ? [] : [repository]),
  ]);
  return [profile, ...ofOptions];
}

/** Whether users choose an image of `images` with this profile: it names none, and neither do its options. */
export function leavesImage(profile: ProfileConfig): boolean {
  const isBuilt = Object.values(profile.options).some(({ repository }) => repository !== undefined);
  return !isBuilt && allLayers(profile).every(({ image }) => image === undefined);
}

/** Whether users choose one of the sizes with this profile: it says nothing of CPU and memory, and neither do its options. */
export function leavesSize(profile: ProfileConfig): boolean {
  return allLayers(profile).every(
    (layer) =>
      layer.size === undefined &&
      layer.cpu === undefined &&
      layer.memory === undefined &&
      layer.cpuRequest === undefined &&
      layer.memoryRequest === undefined,
  );
}

/** The profile, or the choice, that is chosen beforehand. */
export function defaultOf<T extends { readonly default?: true }>(entries: readonly T[]): T | undefined {
  return entries.find((entry) => entry.default === true) ?? entries[0];
}

/** The image that the layers come to; undefined where they name none. */
export function namedImage(layers: readonly ProfileLayer[]): string | undefined {
  return layers.findLast(({ image }) => image !== undefined)?.image;
}

/** The name of the size that the layers come to; undefined where they name none. */
export function namedSize(layers: readonly ProfileLayer[]): string | undefined {
  return layers.findLast(({ size }) => size !== undefined)?.size;
}

/** What a lab gets of its node. */
export interface Compute {
  readonly resources: LabResources;
  readonly extendedResources: Readonly<Record<string, string>>;
}

/**
 * The compute of a lab with the layers of its profile. A layer that names a limit alone names the request too, as a size does; a limit
 * that is below a request of a later layer is raised to it.
 */
export function layCompute(base: Compute, layers: readonly ProfileLayer[]): Compute {
  return layers.reduce(({ resources: { limits, requests }, extendedResources }, layer) => {
    const cpu = layOne(limits.cpu, requests.cpu, layer.cpu, layer.cpuRequest);
    const memory = layOne(limits.memory, requests.memory, layer.memory, layer.memoryRequest);
    return {
      resources: {
        limits: { cpu: cpu.limit, memory: memory.limit },
        requests: { cpu: cpu.request, memory: memory.request },
      },
      extendedResources: { ...extendedResources, ...layer.extendedResources },
    };
  }, base);
}

function layOne(limit: number, request: number, newLimit: number | undefined, newRequest: number | undefined) {
  const asked = newRequest ?? newLimit ?? request;
  return { limit: Math.max(newLimit ?? limit, asked), request: asked };
}

/** What has no limit with a layer: what it says itself, or what had none before, but for what it names a limit of. */
export function layUnlimited(before: LabConfig['unlimited'], layer: ProfileLayer): LabConfig['unlimited'] {
  return layer.lab?.unlimited ?? before.filter((what) => layer[what] === undefined);
}
