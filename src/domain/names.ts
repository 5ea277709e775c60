import { createHash } from 'node:crypto';
import type { LabKey } from './lab/lab.ts';

/**
 * Slugs: names that are safe as a DNS label and as a label value, and that never meet.
 *
 * - A name that is already a short DNS label without `--` is its own slug.
 * - Any other is lower-cased, reduced to `[a-z0-9-]`, shortened, and ended with `---` and a hash of the original.
 * - A named server's lab is `<user>--<server>`; where one of the two is not safe, or both together are too long, the two
 *   shortened names and one hash over both.
 *
 * `--` and `---` cannot occur in a safe name, so no single name, joined pair or hashed name can look like another kind.
 * The rule is KubeSpawner's "safe" scheme with a hash of 64 bits instead of 32.
 */
const SLUG_LENGTH = 40;
const HASH_LENGTH = 16;
const SAFE = /^[a-z0-9](?:-?[a-z0-9])*$/;

export const KIND_LABEL = 'labwright.dev/kind';
export const LAB_LABEL = 'labwright.dev/lab';
/** Which controller an object belongs to: the namespace that controller runs in. Two of them share a cluster in peace. */
export const CONTROLLER_LABEL = 'labwright.dev/controller';
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'labwright';

/** The slug of one name, at most `SLUG_LENGTH` characters long. */
export function slugOf(name: string): string {
  return isSafe(name) ? name : `${shorten(name, SLUG_LENGTH - HASH_LENGTH - 3)}---${hash(name)}`;
}

/** The slug of a lab: what its objects are labelled with and what the work queue calls it. */
export function labSlug({ username, servername }: LabKey): string {
  if (servername === '') return slugOf(username);
  const joined = `${username}--${servername}`;
  if (isSafe(username) && isSafe(servername) && joined.length <= SLUG_LENGTH) return joined;
  const part = Math.floor((SLUG_LENGTH - HASH_LENGTH - 5) / 2);
  return `${shorten(username, part)}--${shorten(servername, part)}---${hash(`${username}\0${servername}`)}`;
}

function isSafe(name: string): boolean {
  return name.length <= SLUG_LENGTH && SAFE.test(name);
}

function shorten(name: string, length: number): string {
  return plainName(name, length) || 'x';
}

/** The beginning of a name in `[a-z0-9-]`, with single dashes inside only; empty where nothing is left. */
export function plainName(name: string, length: number): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, length)
    .replace(/-$/, '');
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, HASH_LENGTH);
}
