import type { LabSizeConfig } from '../../config/index.ts';
import { htmlPattern, WRITE_IN_LENGTH } from '../../config/index.ts';
import { type FindWarmth, isWarm, type Warmth } from '../../domain/image/prepull/view.ts';
import { withoutDigest } from '../../domain/image/image-reference.ts';
import { isRecommended, type OfferedImage } from '../../reconcile/images/offered-images.ts';
import { capitalize } from '../../util/capitalize.ts';
import { type Html, markup } from '../pages/html.ts';
import { check, CHOOSE_DROPDOWN, CHOOSE_IMAGE, note, roughBytes, rowsOf, searched } from './lab-form-parts.ts';
import { type LabRequestOptions, USE_DROPDOWN, USE_NAME, USE_REPOSITORY } from './lab-specification.ts';
import type { OfferedConfig } from './offered-config.ts';

/** With more than these, the others are in a menu. */
const RADIO_IMAGES = 8;
/** Most entries of that menu. What is not in it is started by whoever names it. */
const MENU_IMAGES = 1_000;

export interface ImagesOptions {
  /** What is offered to this user. */
  readonly list: readonly OfferedImage[];
  /** What else this user may name; false where nothing is. */
  readonly other: OfferedConfig['images']['allowOther'];
  readonly sizes: readonly LabSizeConfig[];
  readonly areBuilt: boolean;
  readonly last: LabRequestOptions | undefined;
  readonly warmth?: FindWarmth | undefined;
}

/** The images: what is recommended and wanted as a choice each, further ones in a menu, then what users name themselves. */
export function imageChoices(options: ImagesOptions): Html {
  const { list, other, sizes, areBuilt, last, warmth } = options;
  const { first, further } = arrange(list, warmth);
  const before = last?.image?.value;
  const at = first.findIndex((image) => isSame(image, before));
  const isLater = further.some((image) => isSame(image, before));
  const built = areBuilt && last?.image?.selector === 'image_repo' ? last.image : undefined;
  const isReferred = last?.image !== undefined && isReference(last.image.selector);
  const isNamed = at < 0 && !isLater && other !== false && isReferred;
  const chosen = built !== undefined || isLater || isNamed ? -1 : Math.max(0, at);
  const shown = first.map((image, index) => imageChoice(image, { sizes, warmth }, index === chosen));
  return markup`<fieldset class="asks-image" onchange="${CHOOSE_IMAGE}">
<legend>Image</legend>
<div class="choices">
${shown}${further.length === 0 ? null : furtherImages(further, { warmth, chosen: isLater ? before : undefined })}${
    other === false ? null : anotherImage(other, isNamed ? before : undefined)
  }${areBuilt ? repository(built) : null}</div>
</fieldset>
`;
}

/**
 * The recommended image first, wherever the configuration has it: it is what gets chosen without a thought. Then what machines have, and
 * what has to be pulled.
 */
function arrange(list: readonly OfferedImage[], warmth: FindWarmth | undefined) {
  const rank = (image: OfferedImage) => (isRecommended(image) ? 0 : isWarm(warmthOf(image, warmth)) ? 1 : 2);
  const ranked = list
    .filter(({ isListed, isWanted }) => isListed || isWanted)
    .map((image, index) => ({ image, index, rank: rank(image) }))
    .sort((one, other) => one.rank - other.rank || one.index - other.index)
    .map(({ image }) => image);
  // What an alias stands for would be there twice.
  const doubled = new Set(
    ranked.flatMap((image) => (image.isWanted && image.tag?.aliasOf ? [nameOf(image, image.tag.aliasOf)] : [])),
  );
  const wanted = ranked.filter((image) => image.isWanted && !doubled.has(nameOf(image, image.tag?.tag ?? '')));
  // Where the rules of a source want nothing, there is something to choose all the same.
  const first = wanted.length > 0 ? wanted.slice(0, RADIO_IMAGES) : ranked.slice(0, 1);
  const shown = new Set(first);
  const further = list.filter((image) => (image.isListed || image.isWanted) && !shown.has(image));
  return { first, further: further.slice(0, MENU_IMAGES) };
}

/** A tag of the source that an image is of. */
function nameOf({ origin }: OfferedImage, tag: string): string {
  return `${origin} ${tag}`;
}

function isSame({ reference }: OfferedImage, before: string | undefined): boolean {
  return before !== undefined && (reference === before || reference === withoutDigest(before));
}

function isReference(selector: string): boolean {
  return selector === 'image_list' || selector === 'image_dropdown';
}

function warmthOf({ digest }: OfferedImage, warmth: FindWarmth | undefined): Warmth | undefined {
  return digest === null ? undefined : warmth?.(digest);
}

interface Shown {
  readonly sizes: readonly LabSizeConfig[];
  readonly warmth?: FindWarmth | undefined;
}

function imageChoice(image: OfferedImage, { sizes, warmth }: Shown, checked: boolean): Html {
  const { reference, name, description } = image;
  const notes = [description, deprecation(image), withSizes(image, sizes), coldness(image, warmth)].map(note);
  const badge = isRecommended(image) ? markup` <span class="badge-recommended">recommended</span>` : null;
  const text =
    name === undefined
      ? markup`<span class="name code">${reference}${badge}</span>`
      : markup`<span class="name">${titleOf(image)}${badge}</span><span class="note code">${reference}</span>`;
  return markup`<label><input type="radio" name="image_list" value="${reference}"${check(checked)}>
<span class="text">${text}${notes}</span></label>
`;
}

/** With what its source is called, where that is something. */
function titleOf({ name, reference, group }: OfferedImage): string {
  return group === undefined ? (name ?? reference) : `${group}: ${name ?? reference}`;
}

function deprecation({ isDeprecated }: OfferedImage): string | undefined {
  return isDeprecated ? 'Deprecated: it may not be offered for much longer.' : undefined;
}

/** With which of the sizes an image goes, where it is not all of them. */
function withSizes({ sizes: only }: OfferedImage, sizes: readonly LabSizeConfig[]): string | undefined {
  if (only === undefined) return undefined;
  const fitting = sizes.filter(({ name }) => only.includes(name));
  const titles = fitting.map(({ name, title }) => title ?? capitalize(name));
  return fitting.length === sizes.length ? undefined : `Size: ${titles.join(', ')}`;
}

/** That a lab may have to wait for its image, and what is known of how long. */
function coldness(image: OfferedImage, find: FindWarmth | undefined): string | undefined {
  const warmth = warmthOf(image, find);
  // Of an image that is not pulled ahead, it is not known which machines have it.
  if (warmth === undefined || isWarm(warmth)) return undefined;
  const { nodes, missing, pullMs } = warmth;
  const size = image.size === null ? [] : [`${roughBytes(image.size)} to download`];
  const time = pullMs === undefined ? [] : [`it took about ${roughTime(pullMs)} before`];
  const details = [...size, ...time].join('; ');
  const start =
    nodes.length === 0 || missing.length === 0
      ? 'Has to be pulled first'
      : `Ready on ${nodes.length} of ${nodes.length + missing.length} machines`;
  return details === '' ? `${start}.` : `${start}: ${details}.`;
}

function roughTime(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** A menu of what does not fit the list. */
function furtherImages(
  images: readonly OfferedImage[],
  { warmth, chosen }: Pick<ImagesOptions, 'warmth'> & { readonly chosen: string | undefined },
): Html {
  const option = (image: OfferedImage) =>
    markup`<option value="${image.reference}"${isSame(image, chosen) ? markup` selected` : null}>${entryOf(image, warmth)}</option>`;
  const select = markup`<select name="image_dropdown" aria-label="Further images"${rowsOf(images.length)}${needed(chosen !== undefined)} onchange="${CHOOSE_DROPDOWN}">${grouped(images, option)}</select>`;
  return markup`<label><input type="radio" name="image_list" value="${USE_DROPDOWN}"${check(chosen !== undefined)}>
<span class="text"><span class="name">Further images</span>
${searched(select, images.length, 'further images')}</span></label>
`;
}

/** For the script: what has to be filled in where the radio button beside it is the chosen one, as it `is` beforehand. */
function needed(is: boolean): Html {
  return markup` data-needed${is ? markup` required` : null}`;
}

/** One line of a menu. */
function entryOf(image: OfferedImage, warmth: FindWarmth | undefined): string {
  const { name, reference, isDeprecated } = image;
  const isReady = isWarm(warmthOf(image, warmth));
  return [name ?? reference, ...(isReady ? ['ready'] : []), ...(isDeprecated ? ['deprecated'] : [])].join(' · ');
}

/** By what their sources are called. */
function grouped(images: readonly OfferedImage[], option: (image: OfferedImage) => Html): Html[] {
  const groups = new Set(images.map(({ group }) => group));
  if (groups.size < 2) return images.map(option);
  return [...groups].map((group) => {
    const entries = images.filter((image) => image.group === group).map(option);
    return group === undefined ? markup`${entries}` : markup`<optgroup label="${group}">${entries}</optgroup>`;
  });
}

/** An image that the user names, whatever is offered. */
function anotherImage({ pattern, message }: Exclude<ImagesOptions['other'], false>, chosen: string | undefined): Html {
  const isChosen = chosen !== undefined;
  const html = pattern === undefined ? undefined : htmlPattern(pattern);
  const checked =
    html === undefined ? null : markup` data-pattern="${html}"${isChosen ? markup` pattern="${html}"` : null}`;
  return markup`<label><input type="radio" name="image_list" value="${USE_NAME}"${check(isChosen)}>
<span class="text"><span class="name">Another image</span>
<input type="text" name="image_name" maxlength="${pattern === undefined ? 600 : WRITE_IN_LENGTH}" autocomplete="off"
spellcheck="false" aria-label="Image reference" placeholder="registry.example.org/name:tag" value="${chosen}"${needed(isChosen)}${checked}${
    message === undefined ? null : markup` title="${message}" aria-describedby="labwright-image-name--hint"`
  } oninput="${CHOOSE_DROPDOWN}">
${message === undefined ? null : markup`<span class="note" id="labwright-image-name--hint">${message}</span>`}</span></label>
`;
}

/** An image that is built: where from, and optionally which branch and which directory. */
function repository(last: LabRequestOptions['image']): Html {
  return markup`<label><input type="radio" name="image_list" value="${USE_REPOSITORY}"${check(last !== undefined)}>
<span class="text"><span class="name">A repository</span>
<span class="note">An image is built from it, unless it is there already.</span>
${repositoryField('image_repo', 'Repository', 'https://github.com/owner/name, or a DOI', last?.value)}${repositoryField(
    'image_ref',
    'Branch, tag or commit',
    'Branch, tag or commit; its default branch when empty',
    last?.ref,
  )}${repositoryField('image_path', 'Directory', 'Directory in it; all of it when empty', last?.path)}</span></label>
`;
}

function repositoryField(name: string, label: string, placeholder: string, value: string | undefined): Html {
  return markup`<input type="text" name="${name}" maxlength="1024" autocomplete="off" spellcheck="false"
aria-label="${label}" placeholder="${placeholder}"${value === undefined ? null : markup` value="${value}"`}${
    name === 'image_repo' ? needed(value !== undefined) : null
  } oninput="${CHOOSE_DROPDOWN}">
`;
}
