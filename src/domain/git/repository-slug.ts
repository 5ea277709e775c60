import { createHash } from 'node:crypto';
import type { Repository } from '../build/build.ts';

/** The longest slug of a repository. */
export const REPOSITORY_SLUG_LENGTH = 80;

const GITHUB = 'https://github.com/';
/** 128 bits in hex: anybody can name a repository, and nobody must find two that meet. */
const HASH_LENGTH = 32;
const READABLE_LENGTH = REPOSITORY_SLUG_LENGTH - HASH_LENGTH - 3;
/** Valid in the name of an image, and without two separators in a row. */
const SAFE = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;

/**
 * What the image of a repository is called: a part of an image name by the grammar of the OCI distribution specification,
 * and never that of another repository.
 *
 * - `https://github.com/ada/notebooks` is `ada--notebooks`, where both names are safe and short.
 * - Anything else is reduced to `[a-z0-9-]`, shortened, and ended with `---` and a hash of the whole.
 *
 * A safe name has neither `--` nor `---` in it, so that the two kinds cannot look like each other.
 */
export function repositorySlug({ provider, url }: Repository): string {
  const parts = provider === 'gh' && url.startsWith(GITHUB) ? url.slice(GITHUB.length).split('/') : [];
  if (parts.length === 2 && parts.every((part) => SAFE.test(part))) {
    const slug = parts.join('--');
    if (slug.length <= REPOSITORY_SLUG_LENGTH) return slug;
  }
  return `${readable(url)}---${hash(`${provider} ${url}`)}`;
}

function readable(url: string): string {
  const reduced = url
    .replace(/^[a-z]+:\/\/(?:[^/@]*@)?/, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, READABLE_LENGTH)
    .replace(/-$/, '');
  return reduced === '' ? 'x' : reduced;
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
}
