import { createHash } from 'node:crypto';
import { z } from 'zod';
import { parseJson } from './parse-json.ts';

/** A manifest, or an index of such, as far as it is read. */
export type Manifest =
  | { readonly kind: 'image'; readonly size: number; readonly config: Descriptor | null }
  | { readonly kind: 'index'; readonly manifests: readonly Platform[] };

export interface Descriptor {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/** An image of an index. */
export interface Platform {
  readonly digest: string;
  readonly os: string;
  readonly architecture: string;
}

/** What nobody's image has more of; a sum of it stays exact. */
const BYTES = 2 ** 50;
/** An index of all platforms with an attestation for each is far below it. */
const ENTRIES = 1_000;
const INDEXES = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]);

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const size = z.number().int().nonnegative().max(BYTES);
const version = z.literal(2);
const platform = z.looseObject({ os: z.string().max(64), architecture: z.string().max(64) });
const indexForm = z.looseObject({
  schemaVersion: version,
  mediaType: z.string().optional(),
  manifests: z
    .array(z.looseObject({ digest: z.string(), platform: platform.optional().catch(undefined) }))
    .max(ENTRIES),
});
const imageForm = z.looseObject({
  schemaVersion: version,
  mediaType: z.string().optional(),
  config: z.looseObject({ digest, size }).optional().catch(undefined),
  layers: z.array(z.looseObject({ size })).max(ENTRIES),
});
const configForm = z.looseObject({ architecture: z.string().min(1).max(64) });

export function sha256(body: Uint8Array): string {
  return `sha256:${createHash('sha256').update(body).digest('hex')}`;
}

/** @returns undefined for what is neither an index nor a manifest of an image */
export function parseManifest(body: Buffer): Manifest | undefined {
  const value = parseJson(body);
  const index = indexForm.safeParse(value);
  if (index.success && (index.data.mediaType === undefined || INDEXES.has(index.data.mediaType))) {
    return { kind: 'index', manifests: index.data.manifests.flatMap(readPlatform) };
  }
  const image = imageForm.safeParse(value);
  if (!image.success) return undefined;
  const { layers, config } = image.data;
  return {
    kind: 'image',
    size: layers.reduce((sum, layer) => sum + layer.size, 0),
    config: config === undefined ? null : { digest: config.digest, size: config.size },
  };
}

/** Attestations are in an index as images of the platform `unknown`. */
function readPlatform(entry: z.output<typeof indexForm>['manifests'][number]): Platform[] {
  const { os, architecture } = entry.platform ?? {};
  if (os === undefined || architecture === undefined || os === 'unknown' || architecture === 'unknown') return [];
  return digest.safeParse(entry.digest).success ? [{ digest: entry.digest, os, architecture }] : [];
}

/** The image whose size is told: the one for linux/amd64, else the first. */
export function mainPlatform(manifests: readonly Platform[]): Platform | undefined {
  return manifests.find(({ os, architecture }) => os === 'linux' && architecture === 'amd64') ?? manifests[0];
}

/** In the order of the index, each once; null where it names none. */
export function architecturesOf(manifests: readonly Platform[]): readonly string[] | null {
  const found = new Set(manifests.filter(({ os }) => os === 'linux').map(({ architecture }) => architecture));
  return found.size === 0 ? null : [...found];
}

/** The architecture that an image's configuration names; null when it names none. */
export function architectureOf(config: Buffer): string | null {
  return configForm.safeParse(parseJson(config)).data?.architecture ?? null;
}
