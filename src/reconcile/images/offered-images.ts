import type { Config, ImageClass, ImageConfig, ImageSourceConfig } from '../../config/index.ts';
import { LISTED, repositoryOf } from '../../config/index.ts';
import type { FoundImages } from '../../domain/image/found-images.ts';
import { RepositoryPatterns } from '../../domain/git/repository-patterns.ts';
import { type BuiltImage, nameOfBuilt, newestBuilt } from '../../domain/image/built-image.ts';
import { parseImageReference, pinnedReference, withoutDigest } from '../../domain/image/image-reference.ts';
import type { WantedImage } from '../../domain/image/wanted-image.ts';
import { arrangeTags } from '../../domain/image/tags/arrange.ts';
import type { ArrangedTag } from '../../domain/image/tags/rules.ts';
import { known } from './look-up.ts';

/** An image that labs can be started from: one of the list, a tag of a source, or one that was built here. */
export interface OfferedImage extends ImageConfig {
  /** `registry/repository:tag`, or with a digest where the configuration has one. */
  readonly reference: string;
  /** What the name stood for when its source was last read; null when that is not known. */
  readonly digest: string | null;
  /** Digests that it stood for before. */
  readonly former: readonly string[];
  /** Compressed bytes of its layers; null when not known. */
  readonly size: number | null;
  readonly architectures: readonly string[] | null;
  /** Where its settings are: the name of the source, or the reference in the list. */
  readonly origin: string;
  /** What the images of its source are called together; absent for those of the list. */
  readonly group?: string;
  readonly classes: readonly ImageClass[];
  /** Offered first, and pulled to machines before anybody asks for it. */
  readonly isWanted: boolean;
  /** In the form. Others are started by whoever names them. */
  readonly isListed: boolean;
  readonly isDeprecated: boolean;
  readonly tag: ArrangedTag | null;
}

/** What is known of a source by its name. */
type FindSource = (name: string) => FoundImages | undefined;

/** Which class is the newest of which kind of tags. */
const NEWEST: Readonly<Record<string, ImageClass>> = {
  release: 'latest-release',
  weekly: 'latest-weekly',
  daily: 'latest-daily',
};

/**
 * All images that labs can be started from: the list first, then the sources in the order of the configuration, each in the order of its
 * tags.
 *
 * @param now milliseconds since the epoch
 */
export function offerImages(
  { images }: Pick<Config, 'images'>,
  find: FindSource,
  now: number,
): readonly OfferedImage[] {
  const listed = images.list.map((image) => offerListed(image, find(LISTED)));
  const taken = new Set(listed.flatMap(({ classes }) => classes));
  const references = new Set(listed.map(({ reference }) => reference));
  const found = images.sources.flatMap((source) => offerSource(source, find(source.name), { taken, now }));
  // What the list names is as it says there.
  return [...listed, ...found.filter(({ reference }) => !references.has(reference))];
}

function offerListed(image: ImageConfig, found: FoundImages | undefined): OfferedImage {
  const { reference } = image;
  const looked = known(found, withoutDigest(reference));
  return {
    ...image,
    digest: parseImageReference(reference)?.digest ?? looked?.digest ?? null,
    former: looked?.former ?? [],
    size: looked?.size ?? null,
    architectures: looked?.architectures ?? null,
    origin: reference,
    classes: image.class === undefined ? [] : [image.class],
    isWanted: true,
    isListed: true,
    isDeprecated: false,
    tag: null,
  };
}

/** @param taken classes that an image has already; those of this source are added */
function offerSource(
  source: ImageSourceConfig,
  found: FoundImages | undefined,
  { taken, now }: { readonly taken: Set<ImageClass>; readonly now: number },
): OfferedImage[] {
  if (found === undefined) return [];
  const { name: origin, tags: rules } = source;
  const settings = settingsOf(source);
  if (source.builds !== undefined) {
    return builtOf(found, source.builds).map((built) => ({ ...settings, ...offerBuilt(built, found), origin }));
  }
  const tagged = found.tags.map((tag) => ({ tag, digest: known(found, tag)?.digest ?? null }));
  return arrangeTags(tagged, rules, now).tags.map((tag) => {
    const looked = known(found, tag.tag);
    const asked = [
      ...(tag.recommended ? (['recommended'] as const) : []),
      ...(NEWEST[tag.kind] === undefined || !tag.wanted ? [] : [NEWEST[tag.kind]]),
    ];
    const classes = asked.flatMap((each) => (each === undefined || taken.has(each) ? [] : [each]));
    for (const each of classes) taken.add(each);
    return {
      ...settings,
      reference: `${repositoryOf(source)}:${tag.tag}`,
      name: tag.title,
      class: undefined,
      digest: tag.digest,
      former: looked?.former ?? [],
      size: looked?.size ?? null,
      architectures: looked?.architectures ?? null,
      origin,
      classes,
      isWanted: tag.wanted,
      isListed: tag.listed,
      isDeprecated: tag.deprecated,
      tag,
    };
  });
}

/**
 * What is to be on the nodes before anybody asks for it, the recommended image first; each image once, whatever its tags.
 *
 * @param named further images, which the configuration names itself
 */
export function wantedImages(
  offered: readonly OfferedImage[],
  named: readonly WantedImage[] = [],
): readonly WantedImage[] {
  const wanted = offered.filter(({ isWanted }) => isWanted);
  const ordered = [...wanted.filter(isRecommended), ...wanted.filter((image) => !isRecommended(image))];
  const byDigest = new Map<string, WantedImage>();
  for (const image of [...ordered.flatMap(asWanted), ...named]) {
    if (!byDigest.has(image.digest)) byDigest.set(image.digest, image);
  }
  return [...byDigest.values()];
}

/** The offered images that most labs run, the most used first. @param labs digests, one for each lab */
export function mostUsed(offered: readonly OfferedImage[], labs: Iterable<string>, count: number): WantedImage[] {
  const uses = new Map<string, number>();
  for (const digest of labs) uses.set(digest, (uses.get(digest) ?? 0) + 1);
  const used = offered.filter(({ digest }) => digest !== null && uses.has(digest)).flatMap(asWanted);
  const once = wantedImages([], used);
  return once.toSorted((one, other) => (uses.get(other.digest) ?? 0) - (uses.get(one.digest) ?? 0)).slice(0, count);
}

/** Not an image whose digest is not known: a tag alone could be another image tomorrow. */
function asWanted({ reference, digest, name = reference, size, architectures }: OfferedImage): WantedImage[] {
  if (digest === null) return [];
  return [{ reference: pinnedReference(reference, digest), digest, name, size, architectures }];
}

export function isRecommended({ classes }: OfferedImage): boolean {
  return classes.includes('recommended');
}

/** What all images of a source have. */
function settingsOf({ title, description, groups, sizes, lab }: ImageSourceConfig) {
  return {
    ...(description === undefined ? {} : { description }),
    ...(groups === undefined ? {} : { groups }),
    ...(sizes === undefined ? {} : { sizes }),
    ...(lab === undefined ? {} : { lab }),
    ...(title === undefined ? {} : { group: title }),
  };
}

interface OfferedBuilt {
  readonly image: BuiltImage;
  readonly isWanted: boolean;
}

/** Those that the configuration has now: it may have changed since they were written down. */
function builtOf({ built = [] }: FoundImages, rules: NonNullable<ImageSourceConfig['builds']>): OfferedBuilt[] {
  const patterns = new RepositoryPatterns({ allowed: rules.repositories, denied: [] });
  const admitted = built.filter(({ repository }) => patterns.admits(repository, repository.ref));
  const wanted = new Set(newestBuilt(admitted, rules.wanted));
  return newestBuilt(admitted, rules.newest).map((image) => ({ image, isWanted: wanted.has(image) }));
}

function offerBuilt({ image, isWanted }: OfferedBuilt, found: FoundImages) {
  const { reference } = image;
  const looked = known(found, reference);
  return {
    reference,
    name: nameOfBuilt(image),
    class: undefined,
    digest: parseImageReference(reference)?.digest ?? null,
    former: [],
    size: looked?.size ?? null,
    architectures: looked?.architectures ?? null,
    classes: [],
    isWanted,
    isListed: true,
    isDeprecated: false,
    tag: null,
  };
}
