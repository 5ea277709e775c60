import {
  type Chooser,
  isOffered,
  type LabSizeConfig,
  leavesImage,
  leavesSize,
  type ProfileConfig,
} from '../../config/index.ts';
import type { Quota } from '../../domain/user/user.ts';
import type { FindWarmth } from '../../domain/image/prepull/view.ts';
import type { OfferedImage } from '../../reconcile/images/offered-images.ts';
import { capitalize } from '../../util/capitalize.ts';
import { Html, markup } from '../pages/html.ts';
import { fits } from './choose-size.ts';
import { imageChoices } from './lab-form-images.ts';
import { check, describeCompute, note } from './lab-form-parts.ts';
import { fittingProfiles, profileChoices } from './lab-form-profiles.ts';
import { LAB_FORM_STYLE } from './lab-form-style.ts';
import type { LabRequestOptions } from './lab-specification.ts';
import type { OfferedConfig } from './offered-config.ts';
import { offeredProfiles } from './resolve-profile.ts';
import { type Part, saidFor } from './said-options.ts';

type FormConfig = Pick<OfferedConfig, 'images' | 'lab' | 'builds'>;

export interface FormOptions {
  readonly quota: Quota | null;
  readonly user: Pick<Chooser, 'groups'>;
  /** What the last lab was asked for with: it is chosen beforehand. */
  readonly last?: LabRequestOptions | undefined;
  /** What machines have; absent where no image is pulled ahead. */
  readonly warmth?: FindWarmth | undefined;
}

/**
 * The form that a hub puts into its spawn page: a fragment with the field names of Nublado, and of KubeSpawner for profiles, and without a
 * `form` element, which is the page's. Profiles, images and sizes of groups that the user is not in are not offered, nor is what is above the
 * quota; a user who can have no lab at all is told so.
 */
export function labForm(config: FormConfig, options: FormOptions): string {
  const { lab } = config;
  const offers = offersFor(config, options);
  const { profiles, list, other, sizes } = offers;
  const { quota, last, warmth } = options;
  const body =
    offers.isAny && quota?.spawn !== false
      ? [
          profiles.length === 0 ? null : profileChoices(profiles, { lab, last: last?.profile, lastOf: lastOf(last) }),
          asksImage(config, offers)
            ? imageChoices({ list, other, sizes, areBuilt: config.builds !== undefined, last, warmth })
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
  readonly list: readonly OfferedImage[];
  /** What other images the user may name. */
  readonly other: OfferedConfig['images']['allowOther'];
  readonly isAny: boolean;
  readonly isAnyBeyondQuota: boolean;
}

function offersFor(config: FormConfig, { quota, user }: FormOptions): Offers {
  const { images, lab, builds } = config;
  const offered = lab.sizes.filter((size) => isOffered(size, user));
  const sizes = offered.filter((size) => fits(size, quota));
  const list = images.list.filter((image) => isOffered(image, user));
  const other = images.allowOther !== false && isOffered(images.allowOther, user) ? images.allowOther : false;
  const hasImage = list.length > 0 || other !== false || builds !== undefined;
  if (lab.profiles.length === 0) {
    const isAny = sizes.length > 0 && hasImage;
    return { profiles: [], sizes, list, other, isAny, isAnyBeyondQuota: offered.length > 0 && hasImage };
  }
  const all = offeredProfiles(config, user).filter((profile) => hasImage || !leavesImage(profile));
  const profiles = fittingProfiles(all, { lab, quota, hasSizes: sizes.length > 0 });
  return { profiles, sizes, list, other, isAny: profiles.length > 0, isAnyBeyondQuota: all.length > 0 };
}

/** With profiles an image is asked for where one of them leaves it to the user, and there are several. */
function asksImage({ lab, builds }: FormConfig, { profiles, list, other }: Offers): boolean {
  if (lab.profiles.length === 0) return true;
  return profiles.some(leavesImage) && (list.length > 1 || other !== false || builds !== undefined);
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

/** @param preset names of the size that is chosen beforehand: the first that is there */
function sizeChoices(sizes: readonly LabSizeConfig[], preset: readonly (string | undefined)[]): Html {
  const chosen = preset.flatMap((asked) => sizes.find(({ name }) => name === asked) ?? [])[0] ?? sizes[0];
  return markup`<fieldset class="asks-size">
<legend>Size</legend>
<div class="choices sizes">
${sizes.map(
  (size) => markup`<label><input type="radio" name="size" value="${size.name}"${check(size === chosen)}>
<span class="text"><span class="name">${size.title ?? capitalize(size.name)}</span>
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
