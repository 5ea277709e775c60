import {
  type Compute,
  type Config,
  htmlPattern,
  layCompute,
  leavesImage,
  layUnlimited,
  defaultOf,
  leavesSize,
  type ProfileConfig,
  type ProfileLayer,
  type ProfileOptionConfig,
  REPOSITORY_CHOICE,
  sizeResources,
  UNLISTED_CHOICE,
  WRITE_IN_LENGTH,
} from '../../config/index.ts';
import type { Quota } from '../../domain/user/user.ts';
import { type Html, markup } from '../pages/html.ts';
import { fits } from './choose-size.ts';
import { check, CHOOSE_CHOICE, CHOOSE_PROFILE, describeCompute, note, rowsOf, searched } from './lab-form-parts.ts';
import { fieldName, type Part } from './said-options.ts';

/** What was said for an option the last time; undefined when nothing was. */
export type LastOf = (profile: string, option: string, part?: Part) => string | undefined;

/** The compute of a lab before its profile says anything. */
function baseOf({ sizes, defaultSize }: Config['lab'], named: string | undefined): Compute {
  const size = sizes.find(({ name }) => name === (named ?? defaultSize)) ?? sizes[0];
  if (size === undefined) throw new Error('there is no size');
  return { resources: sizeResources(size), extendedResources: size.extendedResources };
}

/** The compute with these layers of a profile. */
function computeOf(lab: Config['lab'], layers: readonly ProfileLayer[]): Compute {
  return layCompute(baseOf(lab, layers.findLast(({ size }) => size !== undefined)?.size), layers);
}

/** The profiles, and choices, whose labs fit into a quota: one that leaves the size to the user fits where a size does. */
export function fittingProfiles(
  profiles: readonly ProfileConfig[],
  { lab, quota, hasSizes }: { lab: Config['lab']; quota: Quota | null; hasSizes: boolean },
): ProfileConfig[] {
  return profiles.flatMap((profile) => {
    if (leavesSize(profile)) return hasSizes ? profile : [];
    const isFit = (layers: readonly ProfileLayer[]) => fits(computeOf(lab, layers).resources.limits, quota);
    const options = Object.entries(profile.options).map(([name, option]) => {
      const choices = option.choices.filter((choice) => !saysCompute(choice) || isFit([profile, choice]));
      return [name, { ...option, choices }, option.choices.length === 0 || choices.length > 0] as const;
    });
    const asksCompute = Object.values(profile.options).some(({ choices }) => choices.some(saysCompute));
    if (!options.every(([, , isThere]) => isThere) || (!asksCompute && !isFit([profile]))) return [];
    return { ...profile, options: Object.fromEntries(options.map(([name, option]) => [name, option])) };
  });
}

function saysCompute({ size, cpu, memory, cpuRequest, memoryRequest }: ProfileLayer): boolean {
  return [size, cpu, memory, cpuRequest, memoryRequest].some((value) => value !== undefined);
}

/** The choice of a profile, each with what it asks. */
export function profileChoices(
  profiles: readonly ProfileConfig[],
  { lab, last, lastOf }: { lab: Config['lab']; last: string | undefined; lastOf: LastOf },
): Html {
  const chosen = profiles.find(({ name }) => name === last) ?? defaultOf(profiles);
  return markup`<fieldset>
<legend>${profiles.length === 1 ? 'Your server' : 'Choose a server'}</legend>
<div class="choices">
${profiles.map((profile) => profileCard(profile, { lab, lastOf, isChosen: profile === chosen }))}</div>
</fieldset>
`;
}

interface Card {
  readonly lab: Config['lab'];
  readonly lastOf: LastOf;
  readonly isChosen: boolean;
}

function profileCard(profile: ProfileConfig, { lab, lastOf, isChosen }: Card): Html {
  const { name, title, description, options } = profile;
  const leaves = [leavesImage(profile) ? 'leaves-image' : '', leavesSize(profile) ? 'leaves-size' : '']
    .join(' ')
    .trim();
  const asked = Object.entries(options).map(([key, option]) =>
    profileOption(option, { profile: name, name: key, last: (part) => lastOf(name, key, part) }),
  );
  return markup`<div class="profile"><label><input type="radio" name="profile" value="${name}" class="${leaves}"${check(isChosen)}
onchange="${CHOOSE_PROFILE}">
<span class="text"><span class="name">${title ?? name}</span>${note(description)}${note(describeProfile(profile, lab))}</span></label>
${
  asked.length === 0
    ? null
    : markup`<fieldset class="options"><legend class="aside">Options of ${title ?? name}</legend>
${asked}</fieldset>
`
}</div>
`;
}

/** What its labs have, as far as nothing that is chosen changes it. */
function describeProfile(profile: ProfileConfig, lab: Config['lab']): string {
  const { resources, extendedResources } = computeOf(lab, [profile]);
  const isOpen = leavesSize(profile) || Object.values(profile.options).some(({ choices }) => choices.some(saysCompute));
  return describeCompute(
    isOpen
      ? { extendedResources: profile.extendedResources ?? {} }
      : { ...resources.limits, extendedResources, unlimited: layUnlimited(lab.unlimited, profile) },
  );
}

interface Field {
  readonly profile: string;
  readonly name: string;
  readonly last: (part?: Part) => string | undefined;
}

function profileOption(option: ProfileOptionConfig, field: Field): Html {
  const { profile, name } = field;
  const { title = name, description, choices, writeIn, repository } = option;
  const id = `labwright-${profile}--${name}`;
  const entries = [
    ...choices.map((choice) => ({ value: choice.name, text: choice.title ?? choice.name, about: aboutChoice(choice) })),
    ...(writeIn === undefined ? [] : [{ value: UNLISTED_CHOICE, text: `${writeIn.title ?? 'Other'}…`, about: '' }]),
    ...(repository === undefined
      ? []
      : [{ value: REPOSITORY_CHOICE, text: `${repository.title ?? 'A repository'}…`, about: '' }]),
  ];
  const chosen = chosenOf(option, field);
  const describedBy = description === undefined ? null : markup` aria-describedby="${id}--about"`;
  // What a narrow menu cuts off of the choice; the script keeps it true.
  const isCutOff = entries.some(({ about }) => about !== '');
  const ofChosen = isCutOff
    ? markup`<span class="note about" aria-hidden="true">${entries.find(({ value }) => value === chosen)?.about}</span>`
    : null;
  const select = markup`<select name="${fieldName(profile, name)}" id="${id}"${rowsOf(entries.length)}${describedBy} onchange="${CHOOSE_CHOICE}">
${entries.map(
  ({ value, text, about }) =>
    markup`<option value="${value}"${value === chosen ? markup` selected` : null}${about === '' ? null : markup` data-about="${about}"`}>${[text, about].filter(Boolean).join(' – ')}</option>`,
)}</select>`;
  return markup`<div class="option"><label class="plain" for="${id}">${title}</label>
${description === undefined ? null : markup`<span class="note" id="${id}--about">${description}</span>`}${searched(select, entries.length, title)}${ofChosen}
${writeIn === undefined ? null : written(writeIn, { ...field, id, hasMenu: entries.length > 1 })}${
    repository === undefined ? null : builtFrom(repository, { ...field, id, hasMenu: entries.length > 1 })
  }</div>
`;
}

/** What a choice gives, and what it is for. */
function aboutChoice(choice: ProfileOptionConfig['choices'][number]): string {
  return [describeCompute(choice), choice.description].filter(Boolean).join(' – ');
}

/** What was chosen the last time, where it is still there, or what is chosen beforehand. */
function chosenOf({ choices, writeIn, repository }: ProfileOptionConfig, { last }: Field): string | undefined {
  const before = last();
  if (choices.some(({ name }) => name === before)) return before;
  if (
    repository !== undefined &&
    (before === REPOSITORY_CHOICE || (before === undefined && last('image_repo') !== undefined))
  ) {
    return REPOSITORY_CHOICE;
  }
  const isWritten = before === UNLISTED_CHOICE || (before === undefined && last(UNLISTED_CHOICE) !== undefined);
  if (writeIn !== undefined && isWritten) return UNLISTED_CHOICE;
  return defaultOf(choices)?.name ?? (writeIn === undefined ? REPOSITORY_CHOICE : UNLISTED_CHOICE);
}

interface Beside extends Field {
  readonly id: string;
  /** There is something else to choose. */
  readonly hasMenu: boolean;
}

function written(
  { title = 'Other', description, pattern, message }: NonNullable<ProfileOptionConfig['writeIn']>,
  { profile, name, id, hasMenu, last }: Beside,
): Html {
  const field = fieldName(profile, name, UNLISTED_CHOICE);
  const html = pattern === undefined ? undefined : htmlPattern(pattern);
  const hint = [description, message].filter(Boolean).join(' ');
  return markup`<fieldset class="beside" data-choice="${UNLISTED_CHOICE}"><legend class="aside">${title}</legend>
<label class="plain" for="${id}--written">${title}</label>
<input type="text" name="${field}" id="${id}--written" value="${last(UNLISTED_CHOICE)}" maxlength="${WRITE_IN_LENGTH}" autocomplete="off"
spellcheck="false" data-needed${html === undefined ? null : markup` pattern="${html}"`}${message === undefined ? null : markup` title="${message}"`}${
    hint === '' ? null : markup` aria-describedby="${id}--hint"`
  }>
${hint === '' ? null : markup`<span class="note" id="${id}--hint">${hint}</span>`}${without(hasMenu, title)}</fieldset>
`;
}

function builtFrom(
  {
    title = 'A repository',
    description = 'An image is built from it, unless it is there already.',
  }: NonNullable<ProfileOptionConfig['repository']>,
  { profile, name, id, hasMenu, last }: Beside,
): Html {
  const field = (part: 'image_repo' | 'image_ref' | 'image_path', label: string, hint: string) =>
    markup`<label class="plain" for="${id}--${part}">${label}</label>
<input type="text" name="${fieldName(profile, name, part)}" id="${id}--${part}" value="${last(part)}" maxlength="1024" autocomplete="off" spellcheck="false"
placeholder="${hint}"${part === 'image_repo' ? markup` data-needed` : null}>
`;
  return markup`<fieldset class="beside" data-choice="${REPOSITORY_CHOICE}"><legend class="aside">${title}</legend>
${field('image_repo', 'Repository', 'https://github.com/owner/name, or a DOI')}${field('image_ref', 'Branch, tag or commit', 'its default branch when empty')}${field(
    'image_path',
    'Directory',
    'all of it when empty',
  )}${note(description)}${without(hasMenu, title)}</fieldset>
`;
}

/** Without script nothing is hidden, and it has to be said when a field counts. */
function without(hasMenu: boolean, title: string): Html | null {
  return hasMenu ? markup`<span class="note without-script">Counts where “${title}…” is chosen above.</span>` : null;
}
