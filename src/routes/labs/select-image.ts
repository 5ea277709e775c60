import { LabwrightError } from '../../domain/errors.ts';
import {
  type ImageReference,
  isImageTag,
  parseImageReference,
  repositoryName,
} from '../../domain/image/image-reference.ts';
import type { LabImage } from '../../domain/lab/lab.ts';
import type { OfferedImage } from '../../reconcile/images/offered-images.ts';
import type { ImageChoice } from './lab-specification.ts';

/** What may be chosen. */
export interface Choosable {
  readonly list: readonly OfferedImage[];
  /** Why an image that is not in the list may not be named; null when it may; undefined where nobody may name one. */
  readonly refuseOther?: (reference: string) => string | null;
}

/**
 * Finds the image that was asked for among those that are offered.
 *
 * A reference has to agree with an entry in everything it names: registry, repository, and tag or digest or both. Where other images are
 * allowed, any complete reference is its own image. A tag with a digest that it stood for before is the tag's present image: the form that
 * the reference comes from is older. With any other digest a tag is refused.
 *
 * @param loc where the request says it
 * @throws {LabwrightError} `invalid_docker_reference` (422), `unknown_image` (400)
 */
export function selectImage(
  images: Choosable,
  { selector, value }: ImageChoice,
  loc: readonly string[] = ['body', 'options', selector],
): LabImage {
  switch (selector) {
    case 'image_class':
      return describe(findClass(images.list, value) ?? notFound(`No ${value} image found`, loc));
    case 'image_tag':
      return describe(
        indexOf(images.list).byTag.get(value) ?? notFound(`Docker tag ${quote(value, isImageTag)} not found`, loc),
      );
    case 'image_repo':
      throw new TypeError('a repository is no configured image');
    case 'image_list':
    case 'image_dropdown':
      return findReference(images, value, loc);
  }
}

/** The image as a lab runs it. */
export function describe({ reference, name, digest, origin }: OfferedImage): LabImage {
  const image = { reference, name: name ?? reference, digest: digest ?? '' };
  return origin === reference ? image : { ...image, origin };
}

/** An image that no entry describes. */
export function describeOther(reference: string): LabImage {
  return { reference, name: reference, digest: parseImageReference(reference)?.digest ?? '' };
}

/** Where no image is recommended the first is: it is the one the form offers first. */
function findClass(list: Choosable['list'], wanted: string): OfferedImage | undefined {
  return (
    list.find(({ classes }) => classes.some((each) => each === wanted)) ??
    (wanted === 'recommended' ? list[0] : undefined)
  );
}

function findReference({ list, refuseOther }: Choosable, text: string, loc: readonly string[]): LabImage {
  const wanted = parseImageReference(text);
  if (wanted === undefined) throw invalidReference('Docker reference is not valid', loc);
  if (wanted.tag === null && wanted.digest === null) {
    throw invalidReference(`Docker reference "${text}" has no tag`, loc);
  }
  const listed = findAgreeing(list, wanted);
  if (listed !== undefined) return describe(listed);
  const why = refuseOther?.(text);
  if (why === null) return describeOther(text);
  const present = findPresent(list, wanted);
  if (present !== undefined) return { ...describe(present), asked: text };
  const fault = `Docker reference "${text}" not found`;
  return notFound(
    why === undefined ? fault : `${fault} among the images offered here. What else may be named: ${why}`,
    loc,
  );
}

function findAgreeing(list: Choosable['list'], wanted: ImageReference): OfferedImage | undefined {
  const { byName, byDigest } = indexOf(list);
  const repository = repositoryName(wanted);
  if (wanted.tag === null) return byDigest.get(`${repository}@${wanted.digest ?? ''}`);
  const found = byName.get(`${repository}:${wanted.tag}`);
  return wanted.digest === null || wanted.digest === found?.digest ? found : undefined;
}

/** The image that a tag stands for by now; not for a digest that it is known never to have stood for. */
function findPresent(list: Choosable['list'], wanted: ImageReference): OfferedImage | undefined {
  const { tag, digest } = wanted;
  const found = tag === null ? undefined : indexOf(list).byName.get(`${repositoryName(wanted)}:${tag}`);
  if (found === undefined || digest === null) return found;
  return found.digest === null || found.former.includes(digest) ? found : undefined;
}

interface Index {
  /** By `registry/repository:tag`. */
  readonly byName: ReadonlyMap<string, OfferedImage>;
  /** By `registry/repository@digest`: the first that has it. */
  readonly byDigest: ReadonlyMap<string, OfferedImage>;
  /** The first that has the tag, of whichever repository. */
  readonly byTag: ReadonlyMap<string, OfferedImage>;
}

const indexes = new WeakMap<Choosable['list'], Index>();

/** Made once for a list: one of a source has thousands of tags. */
function indexOf(list: Choosable['list']): Index {
  const known = indexes.get(list);
  if (known !== undefined) return known;
  const [byName, byDigest, byTag] = [1, 2, 3].map(() => new Map<string, OfferedImage>()) as [
    Map<string, OfferedImage>,
    Map<string, OfferedImage>,
    Map<string, OfferedImage>,
  ];
  const add = (map: Map<string, OfferedImage>, key: string, image: OfferedImage) => {
    if (!map.has(key)) map.set(key, image);
  };
  for (const image of list) {
    const parsed = parseImageReference(image.reference);
    if (parsed === undefined) continue;
    const repository = repositoryName(parsed);
    if (image.digest !== null) add(byDigest, `${repository}@${image.digest}`, image);
    if (parsed.tag === null) continue;
    add(byName, `${repository}:${parsed.tag}`, image);
    add(byTag, parsed.tag, image);
  }
  const index = { byName, byDigest, byTag };
  indexes.set(list, index);
  return index;
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
