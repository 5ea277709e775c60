import { createHash } from 'node:crypto';
import type { BuildsConfig } from '../../config/index.ts';
import { binderImageName } from '../../domain/build/binder-names.ts';
import { idOf } from '../../domain/build/build-identity.ts';
import { BuildProblem, type ResolvedRepository } from '../../domain/build/build.ts';
import { parseImageReference } from '../../domain/image/image-reference.ts';
import { repositorySlug } from '../../domain/git/repository-slug.ts';

/** Changes when repo2docker is called in another way, so that images are made anew. */
const VERSION = 'labwright-builder-1';
const COMMIT_LENGTH = 12;

/**
 * A digest over everything in the configuration that changes what an image holds, and nothing else: where and how a build
 * runs, which layers it may use again and how the builder is pulled make no other image.
 *
 * The builder's image counts as it is written. A tag that was pushed anew is the same to it; a digest is not.
 */
export function builderDigest({ builder }: Pick<BuildsConfig, 'builder'>): string {
  const parts = [
    VERSION,
    builder.image,
    builder.userName,
    builder.userId,
    builder.repositoryDirectory ?? null,
    builder.appendix,
    inOrder(builder.buildArgs),
    inOrder(builder.labels),
    builder.extraArgs,
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/**
 * The image of a build: a reference with a tag.
 *
 * @throws {BuildProblem} `InvalidImageName`: BinderHub's scheme makes no valid name of this repository, or of its version
 */
export function imageOf(
  { registry, naming }: Pick<BuildsConfig, 'registry' | 'naming'>,
  build: {
    readonly repository: ResolvedRepository;
    readonly path: string;
    readonly key: string;
  },
): string {
  const { repository, key } = build;
  if (naming.scheme === 'binderhub') {
    const image = binderImageName(`${registry.host}/${naming.prefix}`, repository.binderSlug, repository.commit);
    if (parseImageReference(image) !== undefined) return image;
    throw new BuildProblem({
      reason: 'InvalidImageName',
      message: 'The naming scheme of this site has no valid name for the image of this repository.',
    });
  }
  const id = idOf(key);
  const values: Record<string, string> = {
    prefix: naming.prefix,
    slug: repositorySlug(repository),
    provider: repository.provider,
    key: id,
  };
  const name = naming.template.replaceAll(/\{(\w+)\}/g, (_whole, word: string) => values[word] ?? '');
  return `${registry.host}/${name}:${tagOf(repository.commit, id)}`;
}

/** Whoever looks at the registry finds the commit in it; the id tells apart what differs in anything else. */
function tagOf(commit: string, id: string): string {
  const version = commit
    .slice(0, COMMIT_LENGTH)
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  return version === '' ? id : `${version}-${id}`;
}

/** The entries of a record, in an order that does not depend on how it was written. */
function inOrder(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).toSorted(([one], [other]) => (one < other ? -1 : 1));
}
