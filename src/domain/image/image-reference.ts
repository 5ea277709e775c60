/** An OCI image reference in its parts, as the distribution specification's grammar has them. */
export interface ImageReference {
  /** Host of the registry, with a port where one was given: `quay.io`, `localhost:5000`. */
  readonly registry: string;
  /** Path inside the registry: `jupyter/minimal-notebook`. */
  readonly repository: string;
  readonly tag: string | null;
  /** `sha256:…` */
  readonly digest: string | null;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_NAMESPACE = 'library';
/** Registry and repository together; the limit of the reference implementation. */
const NAME_LENGTH = 255;
/** The longest reference that can be valid: a name, a tag of 128 and a sha512 digest, with their separators. */
const REFERENCE_LENGTH = NAME_LENGTH + 1 + 128 + 1 + 7 + 128;

const DOMAIN_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const DOMAIN = new RegExp(`^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);
const PATH_PART = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
/** A tag, for descriptions of the API. */
export const IMAGE_TAG = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}';
const TAG = new RegExp(`^${IMAGE_TAG}$`);
/** A reference with a tag, a digest or both, for descriptions of the API; each of its parts has a bound there. */
export const TAGGED_REFERENCE = (() => {
  const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,60}[a-zA-Z0-9])?';
  const part = '[a-z0-9]{1,40}(?:(?:__?|-)[a-z0-9]{1,40}){0,2}';
  const inner = String.raw`/[a-z0-9]{1,40}(?:(?:\.|__?|-)[a-z0-9]{1,40}){0,2}`;
  // What has a dot in its first part has a host there.
  const name = String.raw`(?:${label}(?:\.${label}){0,3}(?::[0-9]{1,5})?${inner}|${part})(?:${inner}){0,2}`;
  return `${name}(?::${IMAGE_TAG}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})`;
})();
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/**
 * Takes an image reference apart.
 *
 * Strict: what a container runtime would refuse is refused here, so that a typing mistake is an answer to the request
 * and not a pod that never starts. A name without a registry belongs to Docker Hub, as everywhere.
 *
 * @returns undefined when the text is no reference
 */
export function parseImageReference(text: string): ImageReference | undefined {
  if (text.length > REFERENCE_LENGTH) return undefined;
  const [named, digest] = cut(text, text.indexOf('@'));
  if (digest !== null && !DIGEST.test(digest)) return undefined;
  const colon = named.lastIndexOf(':');
  const [name, tag] = cut(named, named.indexOf('/', colon) < 0 ? colon : -1);
  if (tag !== null && !isImageTag(tag)) return undefined;
  if (name.length > NAME_LENGTH) return undefined;
  const [registry, repository] = splitName(name);
  if (!DOMAIN.test(registry) || !repository.split('/').every((part) => PATH_PART.test(part))) return undefined;
  return { registry, repository, tag, digest };
}

/** Hosts of Docker Hub, all of which serve the same images. */
const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']);

/** Registry and repository as one name, however they were spelt: hosts know no capitals, and 443 goes without saying. */
export function repositoryName({ registry, repository }: Pick<ImageReference, 'registry' | 'repository'>): string {
  const host = registry.toLowerCase().replace(/:443$/, '');
  if (!DOCKER_HUB.has(host)) return `${host}/${repository}`;
  return `${DEFAULT_REGISTRY}/${repository.includes('/') ? repository : `${DEFAULT_NAMESPACE}/${repository}`}`;
}

/** Whether the text can be the tag of an image. */
export function isImageTag(text: string): boolean {
  return TAG.test(text);
}

function cut(text: string, at: number): [string, string | null] {
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/** The first part is a registry only if it looks like a host; otherwise the whole is a path on Docker Hub. */
function splitName(name: string): [string, string] {
  const [first, rest] = cut(name, name.indexOf('/'));
  if (rest === null) return [DEFAULT_REGISTRY, `${DEFAULT_NAMESPACE}/${first}`];
  const isHost = /[.:[]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  return isHost ? [first, rest] : [DEFAULT_REGISTRY, name];
}

/**
 * The same image by its digest, which cannot change any more.
 *
 * @param digest `sha256:…`
 * @throws TypeError when the two are no reference and digest
 */
export function pinned(reference: string, digest: string): string {
  const parsed = parseImageReference(reference);
  const image = parsed === undefined ? '' : `${parsed.registry}/${parsed.repository}@${digest}`;
  if (parseImageReference(image) === undefined) throw new TypeError('expected an image reference and a digest');
  return image;
}

/** The reference with its tag, for people, and the digest, which counts. One that has a digest stays as it is. */
export function pinnedReference(reference: string, digest: string): string {
  return reference.includes('@') ? reference : `${reference}@${digest}`;
}

/** `registry/repository:tag` of a reference that may have a digest behind it. */
export function withoutDigest(reference: string): string {
  const at = reference.indexOf('@');
  return at < 0 ? reference : reference.slice(0, at);
}
