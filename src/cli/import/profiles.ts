import { isRecord } from '../../util/is-record.ts';
import { writeInPattern } from '../../config/write-in.ts';
import { plainName } from '../../domain/names.ts';
import { type Amounts, importCpu, importMemory, profileAmounts } from './amounts.ts';
import { importOverride, type Override } from './override.ts';
import { compact } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';
import type { Pieces } from './volumes.ts';

export interface ProfilesContext extends Pieces {
  /** What holds where a profile says nothing. */
  readonly amounts: Amounts;
  /** Pull policy of all labs, where the hub says one. */
  readonly pullPolicy: Json;
}

type Entry = Record<string, Json>;

/** What comes before a layer, and where the layer goes. */
interface Place {
  readonly to: string;
  readonly amounts: Amounts;
  readonly context: ProfilesContext;
}

/** A `profile_list` as `lab.profiles`. */
export function importProfiles(list: Source, context: ProfilesContext): Entry[] {
  const entries = [...list.entries()];
  // Of a table KubeSpawner takes the values in the order of the keys.
  if (!Array.isArray(list.value)) entries.sort(([left], [right]) => (left < right ? -1 : 1));
  const names = new Set<string>();
  const profiles = entries.map(([, profile]) => {
    const slug = profile.at('slug')?.text();
    const name = slug === undefined ? slugOf(profile.at('display_name')?.text() ?? '') : nameOf(slug);
    return importProfile(profile, unused(name, names), context);
  });
  return withOneDefault(profiles);
}

function importProfile(profile: Source, name: string, context: ProfilesContext): Entry {
  const place = { to: 'lab.profiles[]', amounts: context.amounts, context };
  profile.at('slug')?.mapped(`${place.to}.name`);
  const { layer, amounts } = importLayer(profile, place);
  const options = profile.at('profile_options')?.entries() ?? [];
  const names = new Set<string>();
  return {
    name,
    ...importDescription(profile, place.to),
    ...layer,
    ...(options.length === 0
      ? {}
      : {
          options: Object.fromEntries(
            options.map(([key, option]) => [
              unused(optionName(key), names),
              importOption(option, { ...place, to: `${place.to}.options.${key}`, amounts }),
            ]),
          ),
        }),
  };
}

function importOption(option: Source, place: Place): Entry {
  const { to } = place;
  const names = new Set<string>();
  const choices = (option.at('choices')?.entries() ?? []).map(([key, choice]) => {
    choice.at('slug')?.hub();
    const here = { ...place, to: `${to}.choices[]` };
    const name = unused(nameOf(key), names);
    return { name, ...importDescription(choice, here.to, key), ...importLayer(choice, here).layer };
  });
  const writeIn = importWriteIn(option.at('unlisted_choice'), { ...place, to: `${to}.writeIn` });
  const isBuilt = importBuilding(option.at('dynamic_image_building'), to);
  // Written before the choices, where people look for it.
  return {
    ...importDescription(option, to),
    ...(choices.length === 0 ? {} : { choices: withOneDefault(choices) }),
    ...(writeIn === undefined ? {} : { writeIn }),
    ...(isBuilt ? { repository: {} } : {}),
  };
}

function importWriteIn(unlisted: Source | undefined, place: Place): Entry | undefined {
  if (unlisted?.at('enabled')?.value !== true) {
    unlisted?.hub();
    return undefined;
  }
  const { to } = place;
  unlisted.at('enabled')?.mapped(to);
  const [inMenu, label] = [unlisted.at('display_name_in_choices'), unlisted.at('display_name')];
  const [about, aboutInMenu] = [unlisted.at('description'), unlisted.at('description_in_choices')];
  for (const title of [inMenu, label]) title?.mapped(`${to}.title`);
  for (const text of [about, aboutInMenu]) text?.mapped(`${to}.description`);
  const message = unlisted.at('validation_message');
  message?.mapped(`${to}.message`);
  return compact({
    title: inMenu?.text() ?? label?.text(),
    description: aboutInMenu?.text() ?? about?.text(),
    pattern: importPattern(unlisted.at('validation_regex'), to),
    message: message?.text(),
    ...importLayer(unlisted, place).layer,
  });
}

/** KubeSpawner looks at the beginning of what is written; here all of it has to match. */
function importPattern(regex: Source | undefined, to: string): string | undefined {
  const text = regex?.text();
  if (regex === undefined || text === undefined || text === '') return undefined;
  const pattern = /(?<!\\)\$$/.test(text) ? text : `(?:${text}).*`;
  if (!writeInPattern.safeParse(pattern).success) {
    regex.lost('JavaScript does not read this regular expression: write another pattern');
    return undefined;
  }
  regex.mapped(`${to}.pattern`);
  return pattern;
}

/** Images that are built of repositories are Labwright's own matter here. */
function importBuilding(building: Source | undefined, to: string): boolean {
  const isOn = building?.at('enabled')?.value === true;
  if (isOn) {
    building.remarked(
      `${to}.repository`,
      'images are built by Labwright: set up builds (docs/builds.md), and the form offers it',
    );
  } else building?.hub();
  return isOn;
}

/** Title, description, groups and what is chosen beforehand. */
function importDescription(source: Source, to: string, key?: string): Entry {
  const [title, description, groups, preset] = ['display_name', 'description', 'allowed_groups', 'default'].map(
    (name) => source.at(name),
  );
  title?.mapped(`${to}.title`);
  description?.mapped(`${to}.description`);
  groups?.mapped(`${to}.groups`);
  preset?.mapped(`${to}.default`);
  return compact({
    title: title?.text() ?? key,
    description: description?.text(),
    default: preset?.value === true ? true : undefined,
    groups: groups?.entries().flatMap(([, name]) => name.text() ?? []),
  });
}

/** A `kubespawner_override`, and what holds after it. */
function importLayer(source: Source, { to, amounts, context }: Place): { layer: Entry; amounts: Amounts } {
  const override = source.at('kubespawner_override');
  if (override === undefined) return { layer: {}, amounts };
  const found: Override = importOverride(override, { ...context, to: `${to}.lab` });
  const { extendedResources } = found;
  const image = found.image === undefined ? undefined : tagged(found.image);
  const after = { ...amounts, ...found.amounts };
  const lab = { ...movingPolicy(image, context), ...found.lab, ...unlimitedAfter(found.amounts, after) };
  const layer = {
    ...(image === undefined ? {} : { image }),
    ...profileAmounts(found.amounts, amounts),
    ...compact({ extendedResources, lab }),
  };
  return { layer, amounts: after };
}

/** A limit that is taken away: all that there is none of then. One that is named holds by itself. */
function unlimitedAfter(own: Amounts, after: Amounts): Entry {
  const keys = ['cpu', 'memory'] as const;
  if (!keys.some((key) => Object.hasOwn(own, key) && own[key] === undefined)) return {};
  return { unlimited: keys.filter((key) => after[key] === undefined) };
}

/** Kubernetes pulls an image again whose tag is `latest`, or absent, where nothing is said. */
export function movingPolicy(image: string | undefined, { pullPolicy }: Pick<ProfilesContext, 'pullPolicy'>): Entry {
  return image?.endsWith(':latest') === true && pullPolicy === undefined ? { imagePullPolicy: 'Always' } : {};
}

function tagged(reference: string): string {
  const isTagged = /(?::[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[a-f0-9]{64})$/.test(reference);
  return isTagged || reference.includes('{value}') ? reference : `${reference}:latest`;
}

/** Where several are chosen beforehand, KubeSpawner takes the first. */
function withOneDefault(entries: readonly Entry[]): Entry[] {
  const first = entries.findIndex((entry) => entry['default'] === true);
  return entries.map((entry, at) => {
    const { default: isDefault, ...others } = entry;
    return isDefault === true && at !== first ? others : entry;
  });
}

/** A name as it is, where it can be one here: callers of the hub's API go on using it. */
function nameOf(text: string): string {
  return /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,88}[A-Za-z0-9])?$/.test(text) ? text : slugOf(text);
}

/** As KubeSpawner makes one of a title: letters without their accents. */
function slugOf(text: string): string {
  return plainName(text.normalize('NFKD').replaceAll(/\p{M}/gu, ''), 90) || 'default';
}

function optionName(key: string): string {
  const name = nameOf(key).replaceAll(/--+/g, '-');
  return /^[A-Za-z]/.test(name) ? name : `option-${name}`;
}

function unused(name: string, taken: Set<string>): string {
  let found = name;
  for (let n = 2; taken.has(found); n += 1) found = `${name}-${String(n)}`;
  taken.add(found);
  return found;
}

/** The amounts of `singleuser.cpu` and `singleuser.memory`. */
export function importAmounts(singleuser: Source): Amounts {
  const value = (kind: string, which: string) => singleuser.at(kind, which)?.value;
  const memory = singleuser.at('memory')?.value;
  const hasGuarantee = isRecord(memory) && 'guarantee' in memory;
  for (const [kind, key] of [
    ['cpu', 'cpu'],
    ['memory', 'memory'],
  ] as const) {
    singleuser.at(kind, 'limit')?.mapped(`lab.sizes[].${key}`);
    singleuser.at(kind, 'guarantee')?.mapped(`lab.sizes[].${key}Request`);
  }
  return {
    cpu: importCpu(value('cpu', 'limit')),
    cpuRequest: importCpu(value('cpu', 'guarantee')),
    memory: importMemory(value('memory', 'limit')),
    // What the chart guarantees where the values say nothing.
    memoryRequest: importMemory(hasGuarantee ? value('memory', 'guarantee') : '1G'),
  };
}
