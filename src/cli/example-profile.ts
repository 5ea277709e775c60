import {
  type Config,
  defaultOf,
  faultOfWriteIn,
  type LabSizeConfig,
  leavesImage,
  leavesSize,
  matchesPattern,
  namedSize,
  type ProfileConfig,
  profileLayers,
  type ProfileOptionConfig,
} from '../config/index.ts';
import type { ChosenProfile, OptionChoice } from '../domain/lab/lab.ts';
import type { RenderCommand } from './arguments.ts';

export interface ExampleProfile {
  /** Where it stands in the configuration. */
  readonly key: string;
  /** Whether it is the profile as it is chosen beforehand. */
  readonly isPreset: boolean;
  readonly profile: ChosenProfile;
  readonly size: LabSizeConfig;
}

/** Each profile as it is chosen beforehand, and once more with each other choice. */
export function exampleProfiles(config: Config): ExampleProfile[] {
  return config.lab.profiles.flatMap((profile, index) => {
    const key = `lab.profiles[${String(index)}]`;
    const choices = Object.entries(profile.options).flatMap(([option, { choices: all }]) =>
      all.map((choice, at) => ({
        key: `${key}.options.${option}.choices[${String(at)}]`,
        isPreset: false,
        chosen: [[option, { choice: choice.name }]] as const,
      })),
    );
    return [{ key, isPreset: true, chosen: [] }, ...choices].flatMap(({ key: place, isPreset, chosen }) => {
      const whole = chosenOf(config, profile, Object.fromEntries([...presets(profile), ...chosen]));
      const size = sizeOf(config, whole);
      return size === undefined ? [] : [{ key: place, isPreset, profile: whole, size }];
    });
  });
}

export interface RenderedChoice {
  /** None where there are no profiles, or the size or the image is said instead of one. */
  readonly profile?: ChosenProfile;
  readonly size: LabSizeConfig;
}

type Asked = Pick<RenderCommand, 'profile' | 'options' | 'size' | 'image'>;

/**
 * The profile and the size that a command line asks for. Who may choose them is not asked.
 *
 * @returns what is wrong with it, where it is
 */
export function chooseExample(config: Config, asked: Asked): RenderedChoice | string {
  const { sizes, defaultSize } = config.lab;
  const profile = profileOf(config, asked);
  if (typeof profile === 'string') return profile;
  const options = profile === undefined ? {} : chooseOptions(profile, asked.options);
  if (typeof options === 'string') return options;
  const chosen = profile && chosenOf(config, profile, options);
  const size =
    chosen === undefined || asked.size !== undefined
      ? sizes.find(({ name }) => name === (asked.size ?? defaultSize))
      : sizeOf(config, chosen);
  if (size === undefined) return `--size: expected one of ${sizes.map(({ name }) => name).join(', ')}`;
  return { ...(chosen && { profile: chosen }), size };
}

/** The profile that is named or chosen beforehand, and that leaves to say what else is said. */
function profileOf({ lab: { profiles } }: Config, { profile: name, options, size, image }: Asked) {
  const isSaid = name !== undefined || Object.keys(options).length > 0;
  if (isSaid && profiles.length === 0) return '--profile, --option: expected none, since there are no profiles';
  if (!isSaid && (size !== undefined || image !== undefined)) return undefined;
  const profile = name === undefined ? defaultOf(profiles) : profiles.find((each) => each.name === name);
  if (profile === undefined) {
    return name === undefined
      ? undefined
      : `--profile: expected one of ${profiles.map((each) => each.name).join(', ')}`;
  }
  const says = `expected none: the profile ${profile.name} says it`;
  if (size !== undefined && !leavesSize(profile)) return `--size: ${says}`;
  if (image !== undefined && !leavesImage(profile)) return `--image: ${says}`;
  return profile;
}

function chooseOptions(profile: ProfileConfig, asked: Asked['options']): ChosenProfile['options'] | string {
  const chosen = new Map(presets(profile));
  for (const [name, text] of Object.entries(asked)) {
    const option = Object.hasOwn(profile.options, name) ? profile.options[name] : undefined;
    if (option === undefined) {
      const names = Object.keys(profile.options);
      return `--option: the profile ${profile.name} has no ${name}; expected ${names.length === 0 ? 'none' : names.join(', ')}`;
    }
    const choice = choose(option, text);
    if (typeof choice === 'string') return `--option: ${name}: ${choice}`;
    chosen.set(name, choice);
  }
  const missing = Object.entries(profile.options).find(
    ([name, { writeIn }]) => writeIn !== undefined && !chosen.has(name),
  );
  if (missing !== undefined)
    return `--option: nothing is chosen beforehand for ${missing[0]}: expected --option ${missing[0]}=TEXT`;
  return Object.fromEntries(chosen);
}

function choose({ choices, writeIn }: ProfileOptionConfig, text: string): OptionChoice | string {
  if (choices.some(({ name }) => name === text)) return { choice: text };
  const listed = choices.map(({ name }) => name).join(', ');
  if (writeIn === undefined) return `expected one of ${listed}`;
  const { pattern, message, lab } = writeIn;
  if (pattern !== undefined && !matchesPattern(pattern, text)) return message ?? `expected what matches ${pattern}`;
  return faultOfWriteIn(lab, text) ?? { writeIn: text };
}

/** What is chosen beforehand. An option of which nothing is, is left out. */
function presets({ options }: ProfileConfig): (readonly [option: string, choice: OptionChoice])[] {
  return Object.entries(options).flatMap(([option, { choices }]) => {
    const choice = defaultOf(choices);
    return choice === undefined ? [] : [[option, { choice: choice.name }] as const];
  });
}

/** As a lab remembers it. */
function chosenOf({ lab }: Config, profile: ProfileConfig, options: ChosenProfile['options']): ChosenProfile {
  const chosen = { name: profile.name, options };
  const isOwn = namedSize(profileLayers(lab.profiles, chosen)) === undefined && !leavesSize(profile);
  return isOwn ? { ...chosen, ownSize: true } : chosen;
}

function sizeOf({ lab }: Config, chosen: ChosenProfile): LabSizeConfig | undefined {
  const name = namedSize(profileLayers(lab.profiles, chosen)) ?? lab.defaultSize;
  return lab.sizes.find((size) => size.name === name);
}
