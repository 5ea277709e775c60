import { createHash } from 'node:crypto';
import { escapism } from '../../util/escapism.ts';

/**
 * Names as BinderHub makes them (`_safe_build_slug`, `_get_image_name` and `generate_build_name` of its builder.py), to the
 * letter, for registries that already hold its images.
 *
 * They are weak: `a-b/c` and `a/b-c` of GitHub have one slug, and six hex digits of a hash tell no two slugs apart for sure.
 */
const IMAGE_NAME_LENGTH = 255;
const POD_NAME_LENGTH = 63;
const REF_LENGTH = 6;

/**
 * The image of a repository at one ref.
 *
 * @param prefix BinderHub's `image_prefix`: registry and the beginning of the name, `gcr.io/p/r2d-`; each `_` of it becomes `-`
 */
export function binderImageName(prefix: string, slug: string, ref: string): string {
  const name = `${prefix}${safeSlug(slug, IMAGE_NAME_LENGTH - prefix.length, 6)}:${ref}`;
  return name.replaceAll('_', '-').toLowerCase();
}

/** The build pod of a repository at one ref. Two refs of one repository may well get the same. */
export function binderPodName(slug: string, ref: string): string {
  const start = 'build-';
  const room = POD_NAME_LENGTH - start.length - REF_LENGTH - 1;
  return `${start}${safeSlug(slug, room, 6)}-${safeSlug(ref, REF_LENGTH, 2).slice(0, REF_LENGTH)}`.toLowerCase();
}

/** Shortened after it was escaped, which may cut an escape in two, and ended with a hash of what it was before that. */
function safeSlug(slug: string, limit: number, hashLength: number): string {
  const hash = createHash('sha256').update(slug).digest('hex').slice(0, hashLength);
  return `${escapism(slug, /[^A-Za-z0-9]/gu).slice(0, Math.max(0, limit - hashLength - 1))}-${hash}`.toLowerCase();
}
