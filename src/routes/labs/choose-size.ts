import { type Config, isOffered, type LabSizeConfig, leavesSize, namedSize } from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { ResourceQuantity } from '../../domain/lab/lab.ts';
import type { Quota } from '../../domain/user/user.ts';
import { type Choosing, notOffered } from './choose-image.ts';
import { PROFILE_LOC } from './resolve-profile.ts';

export const SIZE_LOC = ['body', 'options', 'size'];

export interface ChosenSize {
  readonly size: LabSizeConfig;
  /** The configuration decides it, not the user. */
  readonly isNamed: boolean;
  /** The profile says itself what the lab has, upon the size that is chosen beforehand. */
  readonly isOwn: boolean;
  /** Where the request decides it. */
  readonly loc: readonly string[];
}

/**
 * The size of the profile, or the one that the user has chosen.
 *
 * @throws {LabwrightError} `invalid_lab_size` (422), `permission_denied` (403)
 */
export function chooseSize(config: Config, { options, profile, layers, user }: Choosing): ChosenSize {
  const { sizes, defaultSize } = config.lab;
  const named = namedSize(layers);
  if (named !== undefined) return { size: findSize(config, named), isNamed: true, isOwn: false, loc: PROFILE_LOC };
  if (profile !== undefined && !leavesSize(profile.profile)) {
    return { size: findSize(config, defaultSize), isNamed: true, isOwn: true, loc: PROFILE_LOC };
  }
  const offered = sizes.filter((size) => isOffered(size, user));
  const preset = offered.find(({ name }) => name === defaultSize) ?? offered[0];
  const size =
    options.size === undefined && preset !== undefined ? preset : findSize(config, options.size ?? defaultSize);
  if (!isOffered(size, user)) throw notOffered('size', SIZE_LOC);
  return { size, isNamed: false, isOwn: false, loc: SIZE_LOC };
}

function findSize({ lab }: Config, asked: string): LabSizeConfig {
  const name = asked.toLowerCase();
  const size = lab.sizes.find((candidate) => candidate.name === name);
  if (size !== undefined) return size;
  const shown = /^[a-z0-9-]{1,63}$/.test(name) ? ` "${name}"` : '';
  throw new LabwrightError('invalid_lab_size', 422, `Invalid lab size${shown}`, { loc: SIZE_LOC });
}

/** Whether a lab of this size fits into a quota. */
export function fits(size: ResourceQuantity, quota: Quota | null): boolean {
  return quota === null || (size.cpu <= quota.cpu && size.memory <= quota.memory);
}
