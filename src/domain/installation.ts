import { createHash } from 'node:crypto';

/** With a hyphen and the hash it fits a label's 63 characters. */
const NAME_LENGTH = 40;
const HASH_LENGTH = 16;

/**
 * What the objects of a controller are labelled with outside of its own cluster. Two controllers of one name, each in a
 * cluster of its own, may share a third: the name alone would make each take the other's builds for its own.
 *
 * @param controller name of the controller's namespace
 * @param uid of the namespace in which its builds are kept
 */
export function installationName(controller: string, uid: string): string {
  const name = controller.slice(0, NAME_LENGTH).replace(/-+$/, '');
  return `${name}-${createHash('sha256').update(uid).digest('hex').slice(0, HASH_LENGTH)}`;
}
