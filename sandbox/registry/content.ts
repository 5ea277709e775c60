import { createHash, randomUUID } from 'node:crypto';
import { refuse } from './errors.ts';

export interface Manifest {
  readonly type: string;
  readonly bytes: Buffer;
}

interface Repository {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, Manifest>;
  /** Digests by tag. */
  readonly tags: Map<string, string>;
}

interface Upload {
  readonly repository: string;
  chunks: Buffer[];
  size: number;
}

const UPLOADS = 100;
const INDEXES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);
const IMAGES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]);
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** What a registry holds, in memory and no more than `maxBytes` of it. */
export class RegistryContent {
  readonly #maxBytes: number;
  readonly #repositories = new Map<string, Repository>();
  readonly #uploads = new Map<string, Upload>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The digest that a tag points to. */
  digestOf(repository: string, tag: string): string | undefined {
    return this.#repositories.get(repository)?.tags.get(tag);
  }

  /** @param reference tag or digest */
  manifest(repository: string, reference: string): (Manifest & { readonly digest: string }) | undefined {
    const digest = isDigest(reference) ? reference : (this.digestOf(repository, reference) ?? '');
    const found = this.#repositories.get(repository)?.manifests.get(digest);
    return found === undefined ? undefined : { ...found, digest };
  }

  /** @returns its digest */
  putManifest(repository: string, reference: string, { type, bytes }: Manifest): string {
    const digest = digestOf(bytes);
    if (reference.includes(':') && reference !== digest) throw refuse.digest();
    const found = this.#repository(repository);
    const missing = referencesOf(type, bytes).find(
      (each) => !(INDEXES.has(type) ? found.manifests : found.blobs).has(each),
    );
    if (missing !== undefined) throw refuse.missingBlob(missing);
    if (!found.manifests.has(digest)) this.#take(bytes.length);
    found.manifests.set(digest, { type, bytes });
    if (!isDigest(reference)) found.tags.set(reference, digest);
    return digest;
  }

  /** Takes the manifest away, and every tag that points to it. */
  deleteManifest(repository: string, digest: string): void {
    const found = this.#repositories.get(repository);
    const manifest = found?.manifests.get(digest);
    if (found === undefined || manifest === undefined) throw refuse.manifest();
    found.manifests.delete(digest);
    this.#bytes -= manifest.bytes.length;
    for (const [tag, target] of found.tags) if (target === digest) found.tags.delete(tag);
  }

  blob(repository: string, digest: string): Buffer | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** In the order of the alphabet; undefined when there is no such repository. */
  tags(repository: string): string[] | undefined {
    const found = this.#repositories.get(repository);
    return found === undefined || found.manifests.size === 0 ? undefined : [...found.tags.keys()].toSorted();
  }

  /** @returns its id. One that is too many ends the oldest. */
  beginUpload(repository: string): string {
    const [oldest] = this.#uploads.keys();
    if (this.#uploads.size >= UPLOADS && oldest !== undefined) this.endUpload(oldest);
    const id = randomUUID();
    this.#uploads.set(id, { repository, chunks: [], size: 0 });
    return id;
  }

  /** @returns how many bytes are there; undefined when there is no such upload in this repository */
  uploaded(repository: string, id: string): number | undefined {
    const upload = this.#uploads.get(id);
    return upload?.repository === repository ? upload.size : undefined;
  }

  append(id: string, chunk: Buffer): void {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw refuse.upload();
    this.#take(chunk.length);
    upload.chunks.push(chunk);
    upload.size += chunk.length;
  }

  finishUpload(repository: string, id: string, digest: string): void {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw refuse.upload();
    const blob = Buffer.concat(upload.chunks);
    const { blobs } = this.#repository(repository);
    this.endUpload(id);
    if (digestOf(blob) !== digest) throw refuse.digestOf(digest);
    if (blobs.has(digest)) return;
    this.#take(blob.length);
    blobs.set(digest, blob);
  }

  endUpload(id: string): void {
    this.#bytes -= this.#uploads.get(id)?.size ?? 0;
    this.#uploads.delete(id);
  }

  #repository(name: string): Repository {
    const found = this.#repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(name, found);
    return found;
  }

  #take(bytes: number): void {
    if (this.#bytes + bytes > this.#maxBytes) throw refuse.full();
    this.#bytes += bytes;
  }
}

export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** What a manifest cannot do without: the blobs of an image, the images of an index. */
function referencesOf(type: string, bytes: Buffer): string[] {
  if (!INDEXES.has(type) && !IMAGES.has(type)) throw refuse.invalidManifest();
  const { mediaType, config, layers = [], manifests = [] } = parse(bytes);
  if (mediaType !== undefined && mediaType !== type) throw refuse.invalidManifest();
  const all = INDEXES.has(type) ? manifests : [config, ...layers];
  return all.map((each) => {
    if (typeof each?.digest !== 'string') throw refuse.invalidManifest();
    return each.digest;
  });
}

interface ManifestText {
  readonly mediaType?: string;
  readonly config?: Descriptor;
  readonly layers?: Descriptor[];
  readonly manifests?: Descriptor[];
}
type Descriptor = { readonly digest?: unknown } | null | undefined;

function parse(bytes: Buffer): ManifestText {
  try {
    const text = JSON.parse(bytes.toString()) as ManifestText | null;
    const lists = [text?.layers ?? [], text?.manifests ?? []];
    if (typeof text === 'object' && text !== null && lists.every((list) => Array.isArray(list))) return text;
  } catch {
    // Said below.
  }
  throw refuse.invalidManifest();
}
