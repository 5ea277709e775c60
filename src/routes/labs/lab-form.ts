import {
  type Chooser,
  type Config,
  isOffered,
  type LabSizeConfig,
  leavesImage,
  leavesSize,
  type ProfileConfig,
} from '../../config/index.ts';
import type { Quota } from '../../domain/user/user.ts';
import { capitalize } from '../../util/capitalize.ts';
import { Html, markup } from '../pages/html.ts';
import { fits } from './choose-size.ts';
import { check, CHOOSE_DROPDOWN, describeCompute, note, rowsOf, searched } from './lab-form-parts.ts';
import { fittingProfiles, profileChoices } from './lab-form-profiles.ts';
import { LAB_FORM_STYLE } from './lab-form-style.ts';
import { type LabRequestOptions, USE_DROPDOWN, USE_REPOSITORY } from './lab-specification.ts';
import { offeredProfiles } from './resolve-profile.ts';
import { type Part, saidFor } from './said-options.ts';

/** With more than these, the others are in a menu. */
const RADIO_IMAGES = 8;

type FormConfig = Pick<Config, 'images' | 'lab' | 'builds'>;
type Image = Config['images']['list'][number];

export interface FormOptions {
  readonly quota: Quota | null;
  readonly user: Pick<Chooser, 'groups'>;
  /** What the last lab was asked for with: it is chosen beforehand. */
  readonly last?: LabRequestOptions | undefined;
}

/**
 * The form that a hub puts into its spawn page: a fragment with the field names of Nublado, and of KubeSpawner for profiles, and without a
 * `form` element, which is the page's. Profiles, images and sizes of groups that the user is not in are not offered, nor is what is above the
 * quota; a user who can have no lab at all is told so.
 */
export function labForm(config: FormConfig, options: FormOptions): string {
  const { lab } = config;
  const offers = offersFor(config, options);
  const { profiles, list, sizes } = offers;
  const { quota, last } = options;
  const body =
    offers.isAny && quota?.spawn !== false
      ? [
          profiles.length === 0 ? null : profileChoices(profiles, { lab, last: last?.profile, lastOf: lastOf(last) }),
          asksImage(config, offers)
            ? imageChoices({ ...config.images, list }, { sizes, areBuilt: config.builds !== undefined, last })
            : null,
          asksSize(config, offers) ? sizeChoices(sizes, [last?.size, lab.defaultSize]) : null,
          switches(),
        ]
      : unavailable(quota, offers.isAnyBeyondQuota);
  return markup`<style>${new Html(LAB_FORM_STYLE)}</style>
<div class="labwright-form${profiles.length === 0 ? '' : ' with-profiles'}">
${body}</div>
`.text;
}

/** What is offered to a user. */
interface Offers {
  readonly profiles: readonly ProfileConfig[];
  readonly sizes: readonly LabSizeConfig[];
  readonly list: Config['images']['list'];
  readonly isAny: boolean;
  readonly isAnyBeyondQuota: boolean;
}

function offersFor(config: FormConfig, { quota, user }: FormOptions): Offers {
  const { images, lab, builds } = config;
  const offered = lab.sizes.filter((size) => isOffered(size, user));
  const sizes = offered.filter((size) => fits(size, quota));
  const list = images.list.filter((image) => isOffered(image, user));
  const hasImage = list.length > 0 || images.allowOther || builds !== undefined;
  if (lab.profiles.length === 0) {
    const isAny = sizes.length > 0 && hasImage;
    return { profiles: [], sizes, list, isAny, isAnyBeyondQuota: offered.length > 0 && hasImage };
  }
  const all = offeredProfiles(config, user).filter((profile) => hasImage || !leavesImage(profile));
  const profiles = fittingProfiles(all, { lab, quota, hasSizes: sizes.length > 0 });
  return { profiles, sizes, list, isAny: profiles.length > 0, isAnyBeyondQuota: all.length > 0 };
}

/** With profiles an image is asked for where one of them leaves it to the user, and there are several. */
function asksImage({ lab, images, builds }: FormConfig, { profiles, list }: Offers): boolean {
  if (lab.profiles.length === 0) return true;
  return profiles.some(leavesImage) && (list.length > 1 || images.allowOther || builds !== undefined);
}

function asksSize({ lab }: FormConfig, { profiles, sizes }: Offers): boolean {
  return lab.profiles.length === 0 || (profiles.some(leavesSize) && sizes.length > 1);
}

/** What was said for an option the last time. What cannot be read was not said: a form is shown in any case. */
function lastOf(last: LabRequestOptions | undefined) {
  return (profile: string, option: string, part?: Part): string | undefined => {
    if (last === undefined) return undefined;
    try {
      return saidFor(last, profile, option, part)?.text;
    } catch {
      return undefined;
    }
  };
}

interface ImagesOptions {
  readonly sizes: readonly LabSizeConfig[];
  readonly areBuilt: boolean;
  readonly last: LabRequestOptions | undefined;
}

function imageChoices({ list, allowOther }: Config['images'], { sizes, areBuilt, last }: ImagesOptions): Html {
  // The recommended image first, wherever the configuration has it: it is what gets chosen without a thought.
  const images = [...list.filter(isRecommended), ...list.filter((image) => !isRecommended(image))];
  const before = last?.image?.value;
  const at = images.findIndex(({ reference }) => reference === before);
  const others = images.slice(RADIO_IMAGES);
  const built = areBuilt && last?.image?.selector === 'image_repo' ? last.image : undefined;
  const isOther =
    built === undefined &&
    (at >= RADIO_IMAGES || (at < 0 && allowOther && last?.image !== undefined && isReference(last.image.selector)));
  const chosen = built !== undefined || isOther ? -1 : Math.max(0, at);
  const shown = images.slice(0, RADIO_IMAGES).map((image, index) => imageChoice(image, sizes, index === chosen));
  return markup`<fieldset class="asks-image">
<legend>Image</legend>
<div class="choices">
${shown}${allowOther || others.length > 0 ? otherImages(others, allowOther, isOther ? before : undefined) : null}${areBuilt ? repository(built) : null}</div>
</fieldset>
`;
}

function isReference(selector: string): boolean {
  return selector === 'image_list' || selector === 'image_dropdown';
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
function otherImages(images: readonly Image[], allowOther: boolean, chosen: string | undefined): Html {
  const options = images.map(
    ({ reference, name }) =>
      markup`<option value="${reference}"${reference === chosen ? markup` selected` : null}>${name ?? reference}</option>`,
  );
  const field = allowOther
    ? markup`<input type="text" name="image_dropdown" list="labwright-images" maxlength="600" autocomplete="off"
spellcheck="false" aria-label="Image reference" placeholder="registry.example.org/name:tag" value="${chosen}" oninput="${CHOOSE_DROPDOWN}">
<datalist id="labwright-images">${options}</datalist>`
    : searched(
        markup`<select name="image_dropdown" aria-label="Further images"${rowsOf(images.length)} onchange="${CHOOSE_DROPDOWN}">${options}</select>`,
        images.length,
        'further images',
      );
  return markup`<label><input type="radio" name="image_list" value="${USE_DROPDOWN}"${check(chosen !== undefined)}>
<span class="text"><span class="name">${allowOther ? 'Another image' : 'Further images'}</span>
${field}</span></label>
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
aria-label="${label}" placeholder="${placeholder}"${value === undefined ? null : markup` value="${value}"`} oninput="${CHOOSE_DROPDOWN}">
`;
}

/** @param preset names of the size that is chosen beforehand: the first that is there */
function sizeChoices(sizes: readonly LabSizeConfig[], preset: readonly (string | undefined)[]): Html {
  const chosen = preset.flatMap((asked) => sizes.find(({ name }) => name === asked) ?? [])[0] ?? sizes[0];
  return markup`<fieldset class="asks-size">
<legend>Size</legend>
<div class="choices sizes">
${sizes.map(
  (size) => markup`<label><input type="radio" name="size" value="${size.name}"${check(size === chosen)}>
<span class="text"><span class="name">${titleOf(size)}</span>
${note(describeCompute({ ...size, unlimited: size.lab?.unlimited }))}${note(size.description)}</span></label>
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
