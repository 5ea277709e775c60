import { capitalize } from '../../util/capitalize.ts';
import { type Chooser, type Config, isOffered, type LabSizeConfig } from '../../config/index.ts';
import type { Quota } from '../../domain/user/user.ts';
import { describeMemory } from '../../util/quantities.ts';
import { Html, markup } from '../pages/html.ts';
import { LAB_FORM_STYLE } from './lab-form-style.ts';
import { USE_DROPDOWN, USE_REPOSITORY } from './lab-specification.ts';
import { fits } from './choose-size.ts';

/** With more than these, the others are in a menu. */
const RADIO_IMAGES = 8;

/** Chooses the radio button of a menu or a text field when something is chosen or written there: all the script there is. */
export const CHOOSE_DROPDOWN = `this.closest('label').querySelector('[type=radio]').checked=true`;

type FormConfig = Pick<Config, 'images' | 'lab' | 'builds'>;
type Image = Config['images']['list'][number];

/**
 * The form that a hub puts into its spawn page: a fragment with Nublado's field names and without a `form` element, which
 * is the page's. Images and sizes of groups that the user is not in are not offered, nor are sizes above the quota; a user who can have
 * no lab at all is told so.
 */
export function labForm(
  { images, lab, builds }: FormConfig,
  quota: Quota | null,
  user: Pick<Chooser, 'groups'>,
): string {
  const offered = lab.sizes.filter((size) => isOffered(size, user));
  const sizes = offered.filter((size) => fits(size, quota));
  const list = images.list.filter((image) => isOffered(image, user));
  const hasImage = list.length > 0 || images.allowOther || builds !== undefined;
  const available = quota?.spawn !== false && sizes.length > 0 && hasImage;
  const body = available
    ? [imageChoices({ ...images, list }, sizes, builds !== undefined), sizeChoices(sizes, lab.defaultSize), switches()]
    : unavailable(quota, offered.length > 0 && hasImage);
  return markup`<style>${new Html(LAB_FORM_STYLE)}</style>
<div class="labwright-form">
${body}</div>
`.text;
}

function imageChoices(
  { list, allowOther }: Config['images'],
  sizes: readonly LabSizeConfig[],
  areBuilt: boolean,
): Html {
  // The recommended image first, wherever the configuration has it: it is what gets chosen without a thought.
  const images = [...list.filter(isRecommended), ...list.filter((image) => !isRecommended(image))];
  const shown = images.slice(0, RADIO_IMAGES).map((image, at) => imageChoice(image, sizes, at === 0));
  const others = images.slice(RADIO_IMAGES);
  return markup`<fieldset>
<legend>Image</legend>
<div class="choices">
${shown}${allowOther || others.length > 0 ? otherImages(others, allowOther) : null}${areBuilt ? repository() : null}</div>
</fieldset>
`;
}

function imageChoice(image: Image, sizes: readonly LabSizeConfig[], checked: boolean): Html {
  const { reference, name, description } = image;
  const notes = [description, withSizes(image, sizes)].flatMap((text) =>
    text === undefined ? [] : markup`<span class="note">${text}</span>`,
  );
  const badge = isRecommended(image) ? markup` <span class="badge-recommended">recommended</span>` : null;
  const text =
    name === undefined
      ? markup`<span class="name code">${reference}${badge}</span>`
      : markup`<span class="name">${name}${badge}</span><span class="note code">${reference}</span>`;
  return markup`<label><input type="radio" name="image_list" value="${reference}"${check(checked)}>
<span class="text">${text}${notes}</span></label>
`;
}

/** With which of the sizes an image goes, where it is not all of them. */
function withSizes({ sizes: only }: Image, sizes: readonly LabSizeConfig[]): string | undefined {
  if (only === undefined) return undefined;
  const fitting = sizes.filter(({ name }) => only.includes(name));
  return fitting.length === sizes.length ? undefined : `Size: ${fitting.map(titleOf).join(', ')}`;
}

function titleOf({ name, title }: LabSizeConfig): string {
  return title ?? capitalize(name);
}

function isRecommended(image: Image): boolean {
  return image.class === 'recommended';
}

/** What does not fit the list: a menu of the further images, or a text field where any image is allowed. */
function otherImages(images: readonly Image[], allowOther: boolean): Html {
  const options = images.map(
    (image) => markup`<option value="${image.reference}">${image.name ?? image.reference}</option>`,
  );
  const field = allowOther
    ? markup`<input type="text" name="image_dropdown" list="labwright-images" maxlength="600" autocomplete="off"
spellcheck="false" aria-label="Image reference" placeholder="registry.example.org/name:tag" oninput="${CHOOSE_DROPDOWN}">
<datalist id="labwright-images">${options}</datalist>`
    : markup`<select name="image_dropdown" aria-label="Further images" onchange="${CHOOSE_DROPDOWN}">${options}</select>`;
  return markup`<label><input type="radio" name="image_list" value="${USE_DROPDOWN}">
<span class="text"><span class="name">${allowOther ? 'Another image' : 'Further images'}</span>
${field}</span></label>
`;
}

/** An image that is built: where from, and optionally which branch and which directory. */
function repository(): Html {
  return markup`<label><input type="radio" name="image_list" value="${USE_REPOSITORY}">
<span class="text"><span class="name">A repository</span>
<span class="note">An image is built from it, unless it is there already.</span>
${repositoryField('image_repo', 'Repository', 'https://github.com/owner/name, or a DOI')}${repositoryField(
    'image_ref',
    'Branch, tag or commit',
    'Branch, tag or commit; its default branch when empty',
  )}${repositoryField('image_path', 'Directory', 'Directory in it; all of it when empty')}</span></label>
`;
}

function repositoryField(name: string, label: string, placeholder: string): Html {
  return markup`<input type="text" name="${name}" maxlength="1024" autocomplete="off" spellcheck="false"
aria-label="${label}" placeholder="${placeholder}" oninput="${CHOOSE_DROPDOWN}">
`;
}

function sizeChoices(sizes: readonly LabSizeConfig[], defaultSize: string | undefined): Html {
  const chosen = sizes.find(({ name }) => name === defaultSize) ?? sizes[0];
  return markup`<fieldset>
<legend>Size</legend>
<div class="choices sizes">
${sizes.map(
  (size) => markup`<label><input type="radio" name="size" value="${size.name}"${check(size === chosen)}>
<span class="text"><span class="name">${titleOf(size)}</span>
<span class="note">${describeSize(size)}</span>${
    size.description === undefined ? null : markup`<span class="note">${size.description}</span>`
  }</span></label>
`,
)}</div>
</fieldset>
`;
}

function switches(): Html {
  return markup`<fieldset>
<legend>Options</legend>
<div class="choices">
${toggle('enable_debug', 'Enable debug logs', 'The lab writes more about what it does.')}${toggle(
    'reset_user_env',
    'Reset user environment',
    'Moves your settings and packages aside, for when a lab does not start any more.',
  )}</div>
</fieldset>
`;
}

function toggle(name: string, title: string, note: string): Html {
  return markup`<label><input type="checkbox" name="${name}" value="true">
<span class="text"><span class="name">${title}</span><span class="note">${note}</span></span></label>
`;
}

function unavailable(quota: Quota | null, isOfferedAny: boolean): Html {
  const why =
    quota?.spawn === false
      ? 'Starting notebooks is switched off for your account at the moment.'
      : isOfferedAny
        ? 'Your quota is smaller than the smallest lab there is.'
        : 'No notebooks are offered to the groups that you are in.';
  return markup`<div class="unavailable" role="status"><strong>Notebooks unavailable</strong>
<p>${why} If you think that is wrong, ask the people who run this site.</p></div>
`;
}

/** A size in the words of its limits: `2 CPU, 4 GiB memory, 1 × nvidia.com/gpu`; of what is kept free where it has none: `2 CPU or more`. */
function describeSize({ cpu, memory, extendedResources, lab }: LabSizeConfig): string {
  const orMore = (what: 'cpu' | 'memory') => (lab?.unlimited?.includes(what) === true ? ' or more' : '');
  const extended = Object.entries(extendedResources)
    .filter(([, amount]) => amount !== '0')
    .map(([name, amount]) => `${amount}\u00a0×\u00a0${name}`);
  return [
    `${String(cpu)} CPU${orMore('cpu')}`,
    `${describeMemory(memory)} memory${orMore('memory')}`,
    ...extended,
  ].join(', ');
}

function check(on: boolean): Html | null {
  return on ? markup` checked` : null;
}
