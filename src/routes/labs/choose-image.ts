import type { UserFacts } from '../../auth/user-facts.ts';
import { isOffered, leavesImage, matchesPattern, namedImage, type ProfileLayer } from '../../config/index.ts';
import { BuildProblem } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { parseBuildPath, parseRef, parseRepository } from '../../domain/git/repository.ts';
import { parseImageReference, repositoryName } from '../../domain/image/image-reference.ts';
import type { LabImage, LabSource } from '../../domain/lab/lab.ts';
import type { ImageChoice, LabRequestOptions } from './lab-specification.ts';
import type { ResolvedProfile } from './resolve-profile.ts';
import type { OfferedConfig } from './offered-config.ts';
import { type Choosable, describe, describeOther, selectImage } from './select-image.ts';

/** What image and size are chosen by. */
export interface Choosing {
  readonly options: LabRequestOptions;
  readonly profile: ResolvedProfile | undefined;
  readonly layers: readonly ProfileLayer[];
  readonly user: UserFacts;
}

export interface ChosenImage {
  readonly image: LabImage;
  readonly source?: LabSource;
  /** The configuration names it, not the user. */
  readonly isNamed: boolean;
}

/**
 * The image of the profile, or the one that the user has chosen.
 *
 * @throws {LabwrightError} `invalid_docker_reference` (422), `unknown_image` (400), `invalid_repository` (422), `permission_denied` (403)
 */
export function chooseImage(config: OfferedConfig, { options, profile, layers, user }: Choosing): ChosenImage {
  const recommended: ImageChoice = { selector: 'image_class', value: 'recommended' };
  if (profile?.source !== undefined) return { ...buildImage(config, profile.source), isNamed: false };
  const reference = namedImage(layers);
  if (reference !== undefined) {
    const writtenIn = profile?.writtenIn;
    const listed = config.images.list.find((image) => image.reference === reference);
    if (writtenIn === undefined) {
      return { image: listed === undefined ? describeOther(reference) : describe(listed), isNamed: true };
    }
    const { list } = config.images;
    const image = selectImage(
      { list, refuseOther: () => null },
      { selector: 'image_list', value: reference },
      writtenIn,
    );
    if (!isImageOffered(config.images.list, image, user)) throw notOffered('image', writtenIn);
    return { image, isNamed: false };
  }
  const isLeft = profile === undefined || leavesImage(profile.profile);
  const choice = isLeft ? (options.image ?? recommended) : recommended;
  const found = findImage(config, choice, user);
  if (!isImageOffered(config.images.list, found.image, user)) {
    throw notOffered('image', ['body', 'options', choice.selector]);
  }
  return { ...found, isNamed: false };
}

/** The image that was named, or the repository that it is to be built from. */
function findImage(
  config: OfferedConfig,
  choice: ImageChoice,
  user: UserFacts,
): { image: LabImage; source?: LabSource } {
  const { images } = config;
  if (choice.selector === 'image_class' || choice.selector === 'image_tag') {
    // These name no image: the first that is offered to the user is meant.
    const list = images.list.filter((image) => isOffered(image, user));
    return { image: selectImage({ list }, choice) };
  }
  if (choice.selector !== 'image_repo') {
    return { image: selectImage({ list: images.list, ...otherImages(images, user) }, choice) };
  }
  return buildImage(config, { ...choice, loc: ['body', 'options', 'image_repo'] });
}

/** Which other images a user may name. */
function otherImages({ allowOther }: OfferedConfig['images'], user: UserFacts): Pick<Choosable, 'refuseOther'> {
  if (allowOther === false || !isOffered(allowOther, user)) return {};
  const { pattern, message = 'images that fit a pattern' } = allowOther;
  return { refuseOther: (reference) => (pattern === undefined || matchesPattern(pattern, reference) ? null : message) };
}

function buildImage(
  { builds }: OfferedConfig,
  { value, ref, path, loc }: ImageChoice & { readonly loc: readonly string[] },
): { image: LabImage; source: LabSource } {
  if (builds === undefined) {
    throw new LabwrightError('unknown_image', 400, 'Images are not built from repositories here', { loc });
  }
  try {
    const repository = parseRepository(value, builds.repositories);
    const source = { repository, ref: parseRef(ref ?? ''), path: parseBuildPath(path ?? '') };
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
function isImageOffered(list: Choosable['list'], { reference }: LabImage, user: UserFacts): boolean {
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
export function notOffered(what: string, loc: readonly string[]): LabwrightError {
  return new LabwrightError('permission_denied', 403, `This ${what} is not offered to you`, { loc });
}
