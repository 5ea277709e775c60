import type { Config, ImageConfig } from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { type ImageReference, isImageTag, parseImageReference } from '../../domain/image/image-reference.ts';
import type { LabImage } from '../../domain/lab/lab.ts';
import type { ImageChoice } from './lab-specification.ts';

type Images = Config['images'];

/**
 * Finds the image that was asked for among the configured ones.
 *
 * A reference has to agree with an entry in everything it names: registry, repository, and tag or digest or both.
 * Where the configuration allows other images, any complete reference is its own image. Where it does not, a known tag with a digest
 * that is not offered any more is the tag's present image: the form that it comes from is older than the configuration.
 *
 * @param loc where the request says it
 * @throws {LabwrightError} `invalid_docker_reference` (422), `unknown_image` (400)
 */
export function selectImage(
  images: Images,
  { selector, value }: ImageChoice,
  loc: readonly string[] = ['body', 'options', selector],
): LabImage {
  switch (selector) {
    case 'image_class':
      return describe(findClass(images.list, value) ?? notFound(`No ${value} image found`, loc));
    case 'image_tag':
      return describe(findTag(images.list, value) ?? notFound(`Docker tag ${quote(value, isImageTag)} not found`, loc));
    case 'image_repo':
      throw new TypeError('a repository is no configured image');
    case 'image_list':
    case 'image_dropdown':
      return findReference(images, value, loc);
  }
}

/** The image as a lab runs it. */
export function describe({ reference, name }: Pick<ImageConfig, 'reference' | 'name'>): LabImage {
  return { reference, name: name ?? reference, digest: parseImageReference(reference)?.digest ?? '' };
}

/** Where no image is marked as recommended the first is: it is the one the form offers first. */
function findClass(list: Images['list'], wanted: string): ImageConfig | undefined {
  return list.find((image) => image.class === wanted) ?? (wanted === 'recommended' ? list[0] : undefined);
}

function findTag(list: Images['list'], tag: string): ImageConfig | undefined {
  return list.find(({ reference }) => parseImageReference(reference)?.tag === tag);
}

function findReference(images: Images, text: string, loc: readonly string[]): LabImage {
  const wanted = parseImageReference(text);
  if (wanted === undefined) throw invalidReference('Docker reference is not valid', loc);
  if (wanted.tag === null && wanted.digest === null) {
    throw invalidReference(`Docker reference "${text}" has no tag`, loc);
  }
  const listed = images.list.find(({ reference }) => agrees(wanted, parseImageReference(reference)));
  if (listed !== undefined) return describe(listed);
  if (images.allowOther) return describe({ reference: text });
  const present = findPresent(images.list, wanted);
  if (present !== undefined) return { ...describe(present), asked: text };
  return notFound(`Docker reference "${text}" not found`, loc);
}

/** The image that a tag stands for by now. */
function findPresent(list: Images['list'], { registry, repository, tag }: ImageReference): ImageConfig | undefined {
  if (tag === null) return undefined;
  const wanted = { registry, repository, tag, digest: null };
  return list.find(({ reference }) => agrees(wanted, parseImageReference(reference)));
}

function agrees(wanted: ImageReference, listed: ImageReference | undefined): boolean {
  return (
    listed !== undefined &&
    wanted.registry === listed.registry &&
    wanted.repository === listed.repository &&
    (wanted.tag === null || wanted.tag === listed.tag) &&
    (wanted.digest === null || wanted.digest === listed.digest)
  );
}

/** Repeats what the caller wrote only where it has the form of what was asked for, so that nothing else is reflected. */
function quote(text: string, isWellFormed: (text: string) => boolean): string {
  return isWellFormed(text) ? `"${text}"` : 'in the request';
}

function invalidReference(message: string, loc: readonly string[]): LabwrightError {
  return new LabwrightError('invalid_docker_reference', 422, message, { loc });
}

function notFound(message: string, loc: readonly string[]): never {
  throw new LabwrightError('unknown_image', 400, message, { loc });
}
