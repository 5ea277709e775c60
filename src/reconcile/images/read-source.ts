import type { ImageSourceConfig } from '../../config/index.ts';
import { foundAgain, type FoundImages } from '../../domain/image/found-images.ts';
import { parseImageReference, withoutDigest } from '../../domain/image/image-reference.ts';
import { arrangeTags, tagsToResolve } from '../../domain/image/tags/arrange.ts';
import type { ImageRegistry } from '../../storage/registry/image-registry.ts';
import type { GoogleArtifacts } from '../../storage/registry/google-artifacts.ts';
import { known, lookUp } from './look-up.ts';

/** Where images are looked up. */
export interface Registries {
  /** The registry of images that begin with this host. */
  readonly of: (host: string) => ImageRegistry;
  readonly artifacts: Pick<GoogleArtifacts, 'listArtifacts'>;
}

/** What one reading of a source comes to. What could not be looked at is as it was before, and `failure` says why. */
export interface Reading extends Pick<FoundImages, 'tags' | 'images' | 'built'> {
  readonly failure?: unknown;
}

export interface ReadingOptions {
  /** What was known before. */
  readonly before: FoundImages | undefined;
  readonly registries: Registries;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** What a source is read from, in one text: of another origin nothing is kept. */
export function originOf({ repository, artifactRegistry }: ImageSourceConfig): string {
  if (artifactRegistry === undefined) return repository ?? '';
  const { location, project, repository: name, image } = artifactRegistry;
  return `artifact-registry ${location}/${project}/${name}/${image}`;
}

/** @throws {RegistryProblem} when the tags cannot be listed */
export async function readSource(
  { repository, artifactRegistry, tags: rules }: ImageSourceConfig,
  { before, registries, now, signal }: ReadingOptions,
): Promise<Reading> {
  if (artifactRegistry !== undefined) {
    const artifacts = await registries.artifacts.listArtifacts(artifactRegistry, signal);
    const found = artifacts.flatMap(({ tags, digest, size }) =>
      tags.map((tag) => [tag, { digest, size, architectures: null }] as const),
    );
    const images = found.map(([tag, image]) => [tag, foundAgain(image, known(before, tag))] as const);
    return { tags: found.map(([tag]) => tag), images: Object.fromEntries(images) };
  }
  const parsed = parseImageReference(repository ?? '');
  if (parsed === undefined) throw new TypeError('a source without a repository');
  const tags = await registries.of(parsed.registry).listTags(parsed.repository, signal);
  const look = (some: readonly string[]) => {
    const wanted = some.map((tag) => ({ name: tag, reference: { ...parsed, tag } }));
    return lookUp(wanted, { before, registries, signal });
  };
  const asked = tagsToResolve(tags, rules, now);
  const first = await look(asked);
  // Where many tags are of one image, others are wanted once that is known.
  const tagged = tags.map((tag) => ({
    tag,
    digest: Object.hasOwn(first.images, tag) ? (first.images[tag]?.digest ?? null) : null,
  }));
  const done = new Set(asked);
  const left = arrangeTags(tagged, rules, now).tags.filter(
    ({ tag, wanted, digest }) => wanted && digest === null && !done.has(tag),
  );
  const second = await look(left.map(({ tag }) => tag));
  const failure = first.failure ?? second.failure;
  return { tags, images: { ...first.images, ...second.images }, ...(failure === undefined ? {} : { failure }) };
}

/**
 * Looks up the images that the configuration names itself, each by its name with a tag. Where the configuration has a digest, too, nobody is
 * asked: it is kept to tell what the tag stood for before.
 */
export async function readListed(references: readonly string[], options: ReadingOptions): Promise<Reading> {
  const { before } = options;
  const named = references.flatMap((text) => {
    const reference = parseImageReference(text);
    return reference === undefined || reference.tag === null ? [] : [{ name: withoutDigest(text), reference }];
  });
  const pinned = named.flatMap(({ name, reference: { digest } }) =>
    digest === null
      ? []
      : [[name, foundAgain({ digest, size: null, architectures: null }, known(before, name))] as const],
  );
  const asked = named.filter(({ reference }) => reference.digest === null);
  const { images, failure } = await lookUp(asked, options);
  return {
    ...{ tags: [], images: { ...images, ...Object.fromEntries(pinned) } },
    ...(failure === undefined ? {} : { failure }),
  };
}
