import { createHash } from 'node:crypto';
import type { ResolvedRepository } from './build.ts';

/** Changes when what a key is made of changes, so that no key means two things. */
const VERSION = 'labwright-build-1';
/** 160 bits in hex. */
const ID_LENGTH = 40;

/**
 * What a build is: one canonical repository at one commit, one directory of it, one configuration of the builder. Two
 * requests for the same have the same key, wherever and whenever they come in; the ref they named does not matter.
 *
 * The parts are encoded as a JSON array, so that no two lists of parts read the same.
 *
 * @param builderDigest see builder/build/build-image.ts
 */
export function identifyBuild(
  { url, commit }: Pick<ResolvedRepository, 'url' | 'commit'>,
  path: string,
  builderDigest: string,
): { id: string; key: string } {
  const key = createHash('sha256')
    .update(JSON.stringify([VERSION, url, commit, path, builderDigest]))
    .digest('hex');
  return { id: idOf(key), key };
}

/** The part of a build's key that it is called by. */
export function idOf(key: string): string {
  return key.slice(0, ID_LENGTH);
}
