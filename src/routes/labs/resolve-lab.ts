import { type UserFacts, requireLabUser } from '../../auth/user-facts.ts';
import {
  findOverlays,
  layCompute,
  leavesImage,
  leavesSize,
  type ProfileConfig,
  profileLayers,
  resolveQuota,
  sizeResources,
} from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabImage, LabKey } from '../../domain/lab/lab.ts';
import type { CreateLab } from '../../reconcile/labs/lab-service.ts';
import { chooseImage } from './choose-image.ts';
import { chooseSize, fits, SIZE_LOC } from './choose-size.ts';
import { type LabRequestOptions, type LabSpecification, SERVICE_PREFIX } from './lab-specification.ts';
import type { OfferedConfig } from './offered-config.ts';
import { resolveProfile } from './resolve-profile.ts';

export interface LabRequest {
  readonly key: LabKey;
  readonly user: UserFacts;
  readonly specification: LabSpecification;
  readonly token: string | null;
  /** Why the caller's credential says nothing of the user. */
  readonly factsMissing?: string | undefined;
}

/**
 * Makes a complete lab of a request and the configuration. The order of the checks is Nublado's, since it decides which
 * error a request with several faults gets: may spawn at all, has ids, profile, image, size, quota.
 *
 * What is for other groups is refused, whatever a form may have shown. Images and sizes that a profile names are for whoever may choose
 * that profile.
 *
 * @throws {LabwrightError} `missing`, `value_error`, `permission_denied`, `invalid_profile`, `invalid_profile_option`,
 * `invalid_docker_reference`, `unknown_image`, `invalid_lab_size`, `insufficient_quota`, `invalid_repository`
 */
export function resolveLab(
  config: OfferedConfig,
  { key, user, specification, token, factsMissing }: LabRequest,
): CreateLab {
  const { options, env } = specification;
  if (config.lab.profiles.length === 0) requireSelectors(options);
  const quota = resolveQuota(config, user);
  if (quota?.spawn === false) {
    throw new LabwrightError('permission_denied', 403, 'Spawning a notebook is not permitted');
  }
  const labUser = requireLabUser(user, factsMissing);
  const overlays = findOverlays(config.overlays, user);
  const profile = resolveProfile(config, options, user);
  if (profile?.isSaid === false) requireOwnSelectors(profile.profile, options);
  const layers = profileLayers(config.lab.profiles, profile?.chosen);
  const choosing = { options, profile, layers, user };
  const { image, source, isNamed } = chooseImage(config, choosing);
  const { size, isOwn, isNamed: isSizeNamed, loc } = chooseSize(config, choosing);
  // Where the profile names both, they go together.
  if (!isNamed || !isSizeNamed) requireFittingSize(config, image, size.name, loc);
  const { resources, extendedResources } = layCompute({ ...size, resources: sizeResources(size) }, layers);
  if (!fits(resources.limits, quota)) {
    throw new LabwrightError('insufficient_quota', 403, 'Insufficient quota to spawn requested lab', { loc });
  }
  const chosen = profile && { ...profile.chosen, ...(isOwn ? { ownSize: true as const } : {}) };
  return {
    key,
    user: labUser,
    options: {
      size: chosen?.ownSize === true ? chosen.name : size.name,
      enable_debug: options.enable_debug,
      reset_user_env: options.reset_user_env,
      image: source === undefined ? image.reference : source.repository.url,
    },
    image,
    ...(source && { source }),
    ...(overlays.length === 0 ? {} : { overlays }),
    ...(chosen && { profile: chosen }),
    resources,
    extendedResources,
    quota,
    secrets: { env, token },
    servicePrefix: withSlashes(env[SERVICE_PREFIX] ?? '/'),
  };
}

/** An image may go with some of the sizes only. */
function requireFittingSize({ images }: OfferedConfig, image: LabImage, size: string, loc: readonly string[]): void {
  const sizes = images.list.find(({ reference }) => reference === image.reference)?.sizes;
  if (sizes === undefined || sizes.includes(size)) return;
  const message = `The image goes with the lab sizes ${sizes.join(', ')} only`;
  throw new LabwrightError('invalid_lab_size', 422, message, { loc });
}

/** Without profiles the image and the size are what a request says. */
function requireSelectors({ size, image, profile }: LabRequestOptions): void {
  // A profile is refused as such.
  if (profile !== undefined) return;
  if (size === undefined) throw new LabwrightError('missing', 422, 'Field required', { loc: SIZE_LOC });
  if (image === undefined) {
    const message = 'Value error, No image to spawn specified';
    throw new LabwrightError('value_error', 422, message, { loc: ['body', 'options'] });
  }
}

/** Whoever says an image or a size and no profile must get it, or be told. A form always says a profile, and sends what is not asked too. */
function requireOwnSelectors(profile: ProfileConfig, { image, size }: LabRequestOptions): void {
  const isAsked = (option: string) => Object.hasOwn(profile.options, option);
  const said =
    image !== undefined && !leavesImage(profile)
      ? image.selector
      : size !== undefined && !leavesSize(profile) && !isAsked('size')
        ? 'size'
        : undefined;
  if (said === undefined) return;
  const message = `The profile "${profile.name}" decides that: say which profile is meant`;
  throw new LabwrightError('invalid_profile', 422, message, { loc: ['body', 'options', said] });
}

function withSlashes(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}
