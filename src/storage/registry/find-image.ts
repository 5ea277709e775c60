import { DIGEST, MANIFEST_TYPES, readManifestAnswer } from './manifest-answer.ts';
import {
  architectureOf,
  architecturesOf,
  type Descriptor,
  mainPlatform,
  type Manifest,
  parseManifest,
  sha256,
} from './manifest.ts';
import { unavailable } from './problems.ts';
import { DOCKER_HUB } from './registry-connection.ts';
import type { Read, ReadTime, RegistryReader } from './registry-reader.ts';

/** What a tag names. */
export interface FoundImage {
  /** `sha256:…` of the index of a multi-architecture image, otherwise of its manifest. */
  readonly digest: string;
  /** Compressed bytes of all layers (of linux/amd64 in an index, else of its first platform); null when not known. */
  readonly size: number | null;
  /** Architectures (`amd64`, `arm64`) that it has; null when not known. */
  readonly architectures: readonly string[] | null;
}

export interface ImageQuestion {
  readonly repository: string;
  /** A tag, or a digest. */
  readonly reference: string;
  /** What was found last: when the digest is the same, no manifest is read. */
  readonly known: FoundImage | undefined;
  /** Images that were found lately, by digest: what has the same digest is the same, whatever its tag. */
  readonly lately: Pick<Map<string, FoundImage>, 'get'>;
}

/** Configurations with a long history have some 100 kB. */
const CONFIG_BYTES = 512 * 1024;
const ACCEPT = MANIFEST_TYPES.join(', ');

/**
 * The image that a tag names; null when it is not there. Where something is known of it, HEAD tells whether that still holds;
 * else its manifest is read at once. Whatever is read has to have the SHA-256 that it is called by.
 *
 * @throws {RegistryProblem}
 */
export async function findImage(
  reader: RegistryReader,
  question: ImageQuestion,
  time: ReadTime,
): Promise<FoundImage | null> {
  const { repository, reference, known, lately } = question;
  const named = await askDigest(reader, question, time);
  if (named === null) return null;
  const { digest } = named;
  const again = digest === known?.digest ? known : lately.get(digest);
  if (again !== undefined) return again;
  const body = named.body ?? (await readByDigest(reader, repository, digest, time));
  if (body === null) throw unavailable(reader.host, 'does not have the manifest that it has just named');
  const manifest = parseManifest(body);
  if (manifest === undefined) {
    throw unavailable(reader.host, `has something else than an image at ${repository}:${reference}`, {
      transient: false,
    });
  }
  const main = await mainImage(reader, repository, manifest, time);
  return {
    digest,
    size: main?.size ?? null,
    architectures:
      manifest.kind === 'index'
        ? architecturesOf(manifest.manifests)
        : await readArchitecture(reader, repository, manifest.config, time),
  };
}

/** @returns with the body, where it had to be read to know the digest */
async function askDigest(
  reader: RegistryReader,
  { repository, reference, known }: Omit<ImageQuestion, 'lately'>,
  time: ReadTime,
): Promise<{ readonly digest: string; readonly body?: Buffer } | null> {
  // The ETag of a manifest is its digest with every registry that has one; others answer in full.
  const condition = known === undefined ? {} : { 'if-none-match': `"${known.digest}"` };
  const path = `/v2/${repository}/manifests/${reference}`;
  for (const method of known === undefined ? (['GET'] as const) : (['HEAD', 'GET'] as const)) {
    const read = await reader.read({ method, repository, path, headers: { accept: ACCEPT, ...condition } }, time);
    const { answer } = read;
    if (answer.status === 304 && known !== undefined) return { digest: known.digest };
    const reading = readManifestAnswer(answer, method, contextOf(reader, read));
    if (reading === 'ask with GET') continue;
    if (reading.digest === null) return null;
    if (method === 'HEAD') return { digest: reading.digest };
    return { digest: verified(reader, answer.body, reading.digest), body: answer.body };
  }
  throw unavailable(reader.host, 'says nothing of the image', { transient: false });
}

/** @returns null where the registry does not have it */
async function readByDigest(
  reader: RegistryReader,
  repository: string,
  digest: string,
  time: ReadTime,
): Promise<Buffer | null> {
  const path = `/v2/${repository}/manifests/${digest}`;
  const read = await reader.read({ method: 'GET', repository, path, headers: { accept: ACCEPT } }, time);
  const reading = readManifestAnswer(read.answer, 'GET', contextOf(reader, read));
  if (reading === 'ask with GET' || reading.digest === null) return null;
  verified(reader, read.answer.body, digest);
  return read.answer.body;
}

function verified(reader: RegistryReader, body: Buffer, digest: string): string {
  if (sha256(body) === digest) return digest;
  throw unavailable(reader.host, 'answers with something that has another digest than it should', { transient: false });
}

/** The image of which the size is told. An index may name what its registry does not have: a copy of some platforms only. */
async function mainImage(
  reader: RegistryReader,
  repository: string,
  manifest: Manifest,
  time: ReadTime,
): Promise<(Manifest & { readonly kind: 'image' }) | undefined> {
  if (manifest.kind === 'image') return manifest;
  const main = mainPlatform(manifest.manifests);
  const body = main === undefined ? null : await readByDigest(reader, repository, main.digest, time);
  const image = body === null ? undefined : parseManifest(body);
  return image?.kind === 'image' ? image : undefined;
}

/** One more answer for an image of one architecture, once for each digest: nodes of another one are not to pull it. */
async function readArchitecture(
  reader: RegistryReader,
  repository: string,
  config: Descriptor | null,
  time: ReadTime,
): Promise<readonly string[] | null> {
  if (config === null || config.size > CONFIG_BYTES || !DIGEST.test(config.digest)) return null;
  const path = `/v2/${repository}/blobs/${config.digest}`;
  const { answer } = await reader.read({ method: 'GET', repository, path }, time);
  if (answer.status !== 200 || sha256(answer.body) !== config.digest) return null;
  const architecture = architectureOf(answer.body);
  return architecture === null ? null : [architecture];
}

function contextOf({ host }: RegistryReader, { shown, hasCredential }: Read) {
  return { host, isHub: host === DOCKER_HUB, shown, hasCredential };
}
