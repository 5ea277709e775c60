import { type UserFacts, requireLabUser } from '../../auth/user-facts.ts';
import {
  type Config,
  findOverlays,
  isOffered,
  type LabSizeConfig,
  resolveQuota,
  sizeResources,
} from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { BuildProblem } from '../../domain/build/build.ts';
import { parseImageReference, repositoryName } from '../../domain/image/image-reference.ts';
import type { LabImage, LabKey, LabSource } from '../../domain/lab/lab.ts';
import { parseBuildPath, parseRef, parseRepository } from '../../domain/git/repository.ts';
import type { Quota } from '../../domain/user/user.ts';
import type { CreateLab } from '../../reconcile/labs/lab-service.ts';
import { type ImageChoice, type LabSpecification, SERVICE_PREFIX } from './lab-specification.ts';
import { selectImage } from './select-image.ts';

const SIZE_LOC = ['body', 'options', 'size'];

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
 * error a request with several faults gets: may spawn at all, has ids, image, size, quota.
 *
 * What is for other groups is refused, whatever a form may have shown.
 *
 * @throws {LabwrightError} `permission_denied`, `invalid_docker_reference`, `unknown_image`, `invalid_lab_size`,
 * `insufficient_quota`, `invalid_repository`
 */
export function resolveLab(config: Config, { key, user, specification, token, factsMissing }: LabRequest): CreateLab {
  const { options, env } = specification;
  const quota = resolveQuota(config, user);
  if (quota?.spawn === false) {
    throw new LabwrightError('permission_denied', 403, 'Spawning a notebook is not permitted');
  }
  const labUser = requireLabUser(user, factsMissing);
  const overlays = findOverlays(config.overlays, user);
  const { image, source } = findImage(config, options.image, user);
  const size = findSize(config, options.size);
  const listed = config.images.list.find(({ reference }) => reference === image.reference);
  if (!isImageOffered(config.images.list, image, user)) throw notOffered('image', options.image.selector);
  if (!isOffered(size, user)) throw notOffered('size', 'size');
  if (listed?.sizes?.includes(size.name) === false) {
    const message = `The image goes with the lab sizes ${listed.sizes.join(', ')} only`;
    throw new LabwrightError('invalid_lab_size', 422, message, { loc: SIZE_LOC });
  }
  if (!fits(size, quota)) {
    const message = 'Insufficient quota to spawn requested lab';
    throw new LabwrightError('insufficient_quota', 403, message, { loc: SIZE_LOC });
  }
  return {
    key,
    user: labUser,
    options: {
      size: size.name,
      enable_debug: options.enable_debug,
      reset_user_env: options.reset_user_env,
      image: source === undefined ? image.reference : source.repository.url,
    },
    image,
    ...(source === undefined ? {} : { source }),
    ...(overlays.length === 0 ? {} : { overlays }),
    resources: sizeResources(size),
    extendedResources: size.extendedResources,
    quota,
    secrets: { env, token },
    servicePrefix: withSlashes(env[SERVICE_PREFIX] ?? '/'),
  };
}

/** The image that was named, or the repository that it is to be built from. */
function findImage(
  { images, builds }: Config,
  choice: ImageChoice,
  user: UserFacts,
): { image: LabImage; source?: LabSource } {
  if (choice.selector === 'image_class' || choice.selector === 'image_tag') {
    // These name no image: the first that is offered to the user is meant.
    const list = images.list.filter((image) => isOffered(image, user));
    return { image: selectImage({ ...images, list }, choice) };
  }
  if (choice.selector !== 'image_repo') return { image: selectImage(images, choice) };
  const loc = ['body', 'options', 'image_repo'];
  if (builds === undefined) {
    throw new LabwrightError('unknown_image', 400, 'Images are not built from repositories here', { loc });
  }
  try {
    const repository = parseRepository(choice.value, builds.repositories);
    const source = { repository, ref: parseRef(choice.ref ?? ''), path: parseBuildPath(choice.path ?? '') };
    return { image: { reference: '', name: `${repository.url} (${source.ref})`, digest: '' }, source };
  } catch (error) {
    if (!(error instanceof BuildProblem)) throw error;
    throw new LabwrightError('invalid_repository', 422, error.message, { loc, cause: error });
  }
}

/**
 * An image of the list by its groups. One that is not in the list, where any may be named, is not offered either if all that the list has
 * of its repository is for other groups: another spelling, tag or digest is no way around them.
 */
function isImageOffered(list: Config['images']['list'], { reference }: LabImage, user: UserFacts): boolean {
  const listed = list.find((image) => image.reference === reference);
  if (listed !== undefined) return isOffered(listed, user);
  const name = nameOf(reference);
  const related = name === undefined ? [] : list.filter((image) => nameOf(image.reference) === name);
  return related.length === 0 || related.some((image) => isOffered(image, user));
}

function nameOf(reference: string): string | undefined {
  const parsed = parseImageReference(reference);
  return parsed === undefined ? undefined : repositoryName(parsed);
}

/** It is for groups that the user is not in. */
function notOffered(what: string, option: string): LabwrightError {
  const loc = ['body', 'options', option];
  return new LabwrightError('permission_denied', 403, `This ${what} is not offered to you`, { loc });
}

/** Whether a lab of this size fits into a quota. */
export function fits(size: LabSizeConfig, quota: Quota | null): boolean {
  return quota === null || (size.cpu <= quota.cpu && size.memory <= quota.memory);
}

function findSize({ lab }: Config, asked: string): LabSizeConfig {
  const name = asked.toLowerCase();
  const size = lab.sizes.find((candidate) => candidate.name === name);
  if (size !== undefined) return size;
  const shown = /^[a-z0-9-]{1,63}$/.test(name) ? ` "${name}"` : '';
  throw new LabwrightError('invalid_lab_size', 422, `Invalid lab size${shown}`, { loc: SIZE_LOC });
}

function withSlashes(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}
