import { gunzipSync, gzipSync } from 'node:zlib';
import type { V1ConfigMap } from '@kubernetes/client-node';
import { isRecord } from '../../util/is-record.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../names.ts';

/** What a registry has said of one image. */
export interface FoundImage {
  /** `sha256:…` of what the name stands for: the index of an image of several architectures, otherwise its manifest. */
  readonly digest: string;
  /** Compressed bytes of all layers; null when not known. */
  readonly size: number | null;
  /** Architectures that it has (`amd64`); null when not known. */
  readonly architectures: readonly string[] | null;
  /** Digests that the name stood for before, the last first. */
  readonly former: readonly string[];
}

/** Why a source could not be read. */
export interface SourceProblem {
  readonly reason: string;
  /** One sentence for administrators. */
  readonly message: string;
  /** Since when every attempt has failed, in milliseconds since the epoch. */
  readonly since: number;
}

/** What is known of the images of one source, as its ConfigMap has it. */
export interface FoundImages {
  /** What was read. A source that is configured to read something else begins anew. */
  readonly origin: string;
  /** When it was last read, in milliseconds since the epoch; null where no attempt has succeeded. */
  readonly readAt: number | null;
  readonly tags: readonly string[];
  /** By tag; by reference where it is what the configuration lists. */
  readonly images: Readonly<Record<string, FoundImage>>;
  readonly problem: SourceProblem | null;
}

export const FOUND_KIND = 'image-source';
/** Name of the source, on its ConfigMap. */
export const SOURCE_LABEL = 'labwright.dev/image-source';
const NAME_PREFIX = 'labwright-images-';
const KEY = 'found.json.gz';
/** The API server takes no more, in bytes, with what else is in the object. */
const MOST_BYTES = 1_000_000;
/** Most bytes that it may come to when it is unpacked: somebody else may have written it. */
const MOST_UNPACKED_BYTES = 16 * 2 ** 20;
/** Most former digests of one image. */
const FORMER = 5;

export function foundImagesName(source: string): string {
  return `${NAME_PREFIX}${source}`;
}

/**
 * The ConfigMap with what was found, for all replicas and the next start.
 *
 * @param resourceVersion of the version that is replaced; absent for the first one
 * @throws RangeError where there is more than an object may hold
 */
export function buildFoundImages(
  source: string,
  found: FoundImages,
  controller: string,
  resourceVersion?: string,
): V1ConfigMap {
  const packed = gzipSync(JSON.stringify(found)).toString('base64');
  if (packed.length > MOST_BYTES) throw new RangeError(`${found.tags.length} tags are more than can be kept`);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: foundImagesName(source),
      namespace: controller,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: {
        [MANAGED_BY_LABEL]: MANAGED_BY,
        [KIND_LABEL]: FOUND_KIND,
        [CONTROLLER_LABEL]: controller,
        [SOURCE_LABEL]: source,
      },
    },
    binaryData: { [KEY]: packed },
  };
}

/** What stands in it; undefined for one that is none or that somebody has damaged: the source is then read anew. */
export function parseFoundImages({ binaryData }: V1ConfigMap): FoundImages | undefined {
  try {
    const packed = Buffer.from(binaryData?.[KEY] ?? '', 'base64');
    const parsed: unknown = JSON.parse(gunzipSync(packed, { maxOutputLength: MOST_UNPACKED_BYTES }).toString());
    return isFoundImages(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** What is known of an image after it was looked at again. */
export function foundAgain(found: Omit<FoundImage, 'former'>, before: FoundImage | undefined): FoundImage {
  if (before === undefined) return { ...found, former: [] };
  if (before.digest === found.digest) return { ...found, former: before.former };
  const former = [before.digest, ...before.former].filter((digest) => digest !== found.digest);
  return { ...found, former: former.slice(0, FORMER) };
}

function isFoundImages(value: unknown): value is FoundImages {
  if (!isRecord(value)) return false;
  const { origin, readAt, tags, images, problem } = value;
  return (
    typeof origin === 'string' &&
    (readAt === null || typeof readAt === 'number') &&
    areTexts(tags) &&
    isRecord(images) &&
    Object.values(images).every(isFoundImage) &&
    (problem === null || isProblem(problem))
  );
}

function isFoundImage(value: unknown): value is FoundImage {
  if (!isRecord(value)) return false;
  const { digest, size, architectures, former } = value;
  return (
    typeof digest === 'string' &&
    (size === null || typeof size === 'number') &&
    (architectures === null || areTexts(architectures)) &&
    areTexts(former)
  );
}

function isProblem(value: unknown): value is SourceProblem {
  if (!isRecord(value)) return false;
  const { reason, message, since } = value;
  return typeof reason === 'string' && typeof message === 'string' && typeof since === 'number';
}

function areTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}
