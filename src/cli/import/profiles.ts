import { isRecord } from '../../util/is-record.ts';
import { plainName } from '../../domain/names.ts';
import { type Amounts, importCpu, importMemory, sizeAmounts } from './amounts.ts';
import { importOverride, type Override } from './override.ts';
import type { SlugScheme } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';
import type { VolumeNames } from './volumes.ts';

export interface ProfilesContext {
  readonly scheme: SlugScheme;
  /** What holds where a profile says nothing. */
  readonly amounts: Amounts;
  readonly image: string | undefined;
  /** Names of the volumes of all labs. */
  readonly volumes: VolumeNames;
}

export interface Profiles {
  readonly sizes: Record<string, Json>[];
  readonly images: Record<string, Json>[];
  readonly allowOther: boolean;
  readonly defaultSize: string | undefined;
}

interface Choice {
  readonly title: string;
  readonly slug: string;
  readonly description: string | undefined;
  readonly groups: readonly string[] | undefined;
  readonly isDefault: boolean;
  readonly override: Override;
}

const NOTHING: Override = { lab: {}, extendedResources: {}, amounts: {}, image: undefined };

/** What the profiles have made so far. */
interface Made {
  readonly sizes: Record<string, Json>[];
  readonly images: Map<string, Record<string, Json>>;
  /** There are several profiles: sizes and images are told apart by them. */
  readonly areSeveral: boolean;
}

/**
 * A `profile_list` as sizes and images. An option whose choices name images is the choice of an image; any other is one of sizes, as is a
 * profile itself. Images of a profile go with its sizes only.
 */
export function importProfiles(list: Source, context: ProfilesContext): Profiles {
  const profiles = list.entries();
  const made: Made = { sizes: [], images: new Map(), areSeveral: profiles.length > 1 };
  let allowOther = false;
  let defaultSize: string | undefined;
  for (const [, profile] of profiles) {
    const own = choiceOf(profile, context, 'lab.sizes[].lab');
    const options =
      profile
        .at('profile_options')
        ?.entries()
        .map(([, option]) => option) ?? [];
    const sizes = addSizes(made, { own, options: options.filter((option) => !isOfImages(option)), context });
    defaultSize ??= sizes.chosen;
    const ofImages = options.filter(isOfImages);
    addImages(made, { own, options: ofImages, context, sizes: sizes.names });
    for (const option of ofImages) {
      allowOther = takesAny(option) || allowOther;
      remarkOnBuilds(option);
    }
  }
  return { sizes: made.sizes, images: [...made.images.values()], allowOther, defaultSize };
}

interface OfProfile {
  /** The profile itself. */
  readonly own: Choice;
  readonly options: readonly Source[];
  readonly context: ProfilesContext;
}

/** One size for each way through the options. @returns their names, and the one that is chosen beforehand */
function addSizes({ sizes, areSeveral }: Made, { own, options, context }: OfProfile) {
  const names: string[] = [];
  let chosen: string | undefined;
  const choices = options.map((option) => choicesOf(option, context, 'lab.sizes[].lab'));
  for (const choice of combine(own, choices, areSeveral)) {
    const name = unused(choice.slug, sizes);
    names.push(name);
    sizes.push(sizeOf(name, choice, context));
    if (choice.isDefault) chosen ??= name;
  }
  return { names, chosen };
}

function addImages(
  { images, areSeveral }: Made,
  { own, options, context, sizes }: OfProfile & { readonly sizes: readonly string[] },
): void {
  const choices = options.flatMap((option) => choicesOf(option, context, 'images.list[].lab'));
  for (const choice of choices.length > 0 ? choices : [own]) {
    const reference = choice.override.image ?? context.image;
    if (reference !== undefined) addImage(images, { choice, reference, own, sizes: areSeveral ? sizes : undefined });
  }
}

/** Whether an image may be written in. */
function takesAny(option: Source): boolean {
  const unlisted = option.at('unlisted_choice');
  const isOn = unlisted?.at('enabled')?.value === true;
  if (isOn) unlisted.remarked('images.allowOther', 'for everybody, and for any image: there is no pattern for it');
  else unlisted?.hub();
  return isOn;
}

/** Images that are built of repositories are Labwright's own matter here. */
function remarkOnBuilds(option: Source): void {
  const building = option.at('dynamic_image_building');
  if (building?.at('enabled')?.value !== true) building?.hub();
  else
    building.remarked(
      'builds',
      'images are built by Labwright: set up builds (docs/builds.md), and the form offers it',
    );
}

/** Whether it is one of images: it, or whatever is written in, says which. */
function isOfImages(option: Source): boolean {
  const overrides = [
    ...(option
      .at('choices')
      ?.entries()
      .map(([, choice]) => choice) ?? []),
    option.at('unlisted_choice'),
  ];
  return (
    option.at('dynamic_image_building') !== undefined ||
    overrides.some((each) => each?.at('kubespawner_override', 'image') !== undefined)
  );
}

function choicesOf(option: Source, context: ProfilesContext, to: string): Choice[] {
  option.at('display_name')?.remarked(to, 'the legends of the form are its own');
  return (
    option
      .at('choices')
      ?.entries()
      .map(([key, choice]) => choiceOf(choice, context, to, key)) ?? []
  );
}

function choiceOf(source: Source, { scheme, volumes }: ProfilesContext, to: string, key?: string): Choice {
  const title = source.at('display_name');
  const slug = source.at('slug');
  const description = source.at('description');
  const groups = source.at('allowed_groups');
  const isDefault = source.at('default');
  title?.mapped(to.replace(/lab$/, 'title'));
  slug?.mapped(to.replace(/lab$/, 'name'));
  description?.mapped(to.replace(/lab$/, 'description'));
  groups?.mapped(to.replace(/lab$/, 'groups'));
  isDefault?.mapped('lab.defaultSize');
  const override = source.at('kubespawner_override');
  return {
    title: title?.text() ?? key ?? '',
    slug: slugify(slug?.text() ?? key ?? title?.text() ?? ''),
    description: description?.text(),
    groups: groups?.entries().flatMap(([, name]) => name.text() ?? []),
    isDefault: isDefault?.value === true,
    override: override === undefined ? NOTHING : importOverride(override, { to, scheme, volumes }),
  };
}

/** One choice for each way through the options of a profile. */
function combine(own: Choice, options: readonly Choice[][], isNamed: boolean): Choice[] {
  const start: Choice = { ...own, title: isNamed ? own.title : '', slug: isNamed ? own.slug : '' };
  const all = options
    .filter((choices) => choices.length > 0)
    .reduce<Choice[]>((made, choices) => made.flatMap((left) => choices.map((right) => join(left, right))), [start]);
  return all.map((choice) => ({
    ...choice,
    title: choice.title === '' ? own.title : choice.title,
    slug: choice.slug === '' ? own.slug : choice.slug,
  }));
}

function join(left: Choice, right: Choice): Choice {
  return {
    title: [left.title, right.title].filter((text) => text !== '').join(': '),
    slug: [left.slug, right.slug].filter((text) => text !== '').join('-'),
    description: right.description ?? left.description,
    groups: right.groups ?? left.groups,
    isDefault: left.isDefault ? right.isDefault : false,
    override: {
      lab: { ...left.override.lab, ...right.override.lab },
      extendedResources: { ...left.override.extendedResources, ...right.override.extendedResources },
      amounts: { ...left.override.amounts, ...right.override.amounts },
      image: right.override.image ?? left.override.image,
    },
  };
}

function sizeOf(name: string, choice: Choice, context: ProfilesContext): Record<string, Json> {
  const { title, description, groups, override } = choice;
  return {
    name,
    ...(title === '' ? {} : { title }),
    ...(description === undefined || description === '' ? {} : { description }),
    ...(groups === undefined || groups.length === 0 ? {} : { groups }),
    ...sizeAmounts({ ...context.amounts, ...override.amounts }),
    ...(Object.keys(override.extendedResources).length === 0 ? {} : { extendedResources: override.extendedResources }),
    ...(Object.keys(override.lab).length === 0 ? {} : { lab: override.lab }),
  };
}

interface NewImage {
  readonly choice: Choice;
  readonly reference: string;
  /** Its profile. */
  readonly own: Choice;
  /** The sizes that it goes with, where there are others. */
  readonly sizes: readonly string[] | undefined;
}

/** An image of several profiles goes with the sizes of all of them, for whoever may see one. */
function addImage(images: Map<string, Record<string, Json>>, { choice, reference, own, sizes }: NewImage): void {
  const tagged = /(?::[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[a-f0-9]{64})$/.test(reference)
    ? reference
    : `${reference}:latest`;
  const before = images.get(tagged);
  if (before !== undefined) {
    if (Array.isArray(before['sizes']))
      before['sizes'] = [...new Set([...(before['sizes'] as string[]), ...(sizes ?? [])])];
    // Whoever may see the image in one profile may see it; the sizes of the others have groups of their own.
    const asked = groupsOf(choice, own, sizes);
    if (asked === undefined) delete before['groups'];
    else if (Array.isArray(before['groups']))
      before['groups'] = [...new Set([...(before['groups'] as string[]), ...asked])];
    return;
  }
  const groups = groupsOf(choice, own, sizes);
  const lab = choice === own ? {} : choice.override.lab;
  images.set(tagged, {
    reference: tagged,
    ...(choice.title === '' ? {} : { name: choice.title }),
    ...(choice.description === undefined || choice.description === '' ? {} : { description: choice.description }),
    ...(groups === undefined ? {} : { groups: [...groups] }),
    ...(sizes === undefined ? {} : { sizes: [...sizes] }),
    ...(Object.keys(lab).length === 0 ? {} : { lab }),
  });
}

function groupsOf(choice: Choice, own: Choice, sizes: readonly string[] | undefined): readonly string[] | undefined {
  const groups = choice.groups ?? (sizes === undefined ? undefined : own.groups);
  return groups === undefined || groups.length === 0 ? undefined : groups;
}

/** A DNS label of what people have written. */
export function slugify(text: string): string {
  return plainName(text, 50) || 'default';
}

function unused(slug: string, sizes: readonly Record<string, Json>[]): string {
  const base = slugify(slug);
  const taken = new Set(sizes.map(({ name }) => name));
  for (let n = 2; ; n += 1) {
    const name = n === 2 ? base : `${base}-${String(n - 1)}`;
    if (!taken.has(name)) return name;
  }
}

/** The amounts of `singleuser.cpu` and `singleuser.memory`. */
export function importAmounts(singleuser: Source): Amounts {
  const value = (kind: string, which: string) => singleuser.at(kind, which)?.value;
  const hasGuarantee =
    isRecord(singleuser.at('memory')?.value) && 'guarantee' in (singleuser.at('memory')?.value as object);
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
