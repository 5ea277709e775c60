import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { type Config, LISTED } from '../../config/index.ts';
import { Problem } from '../../domain/problem.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { parseImageReference, pinnedReference, withoutDigest } from '../../domain/image/image-reference.ts';
import type { FoundImages } from '../../domain/image/found-images.ts';
import type { WantedImage } from '../../domain/image/wanted-image.ts';
import type { LabImage } from '../../domain/lab/lab.ts';
import { withDeadline } from '../../util/deadline.ts';
import { Memo } from '../../util/memo.ts';
import type { ImageCache } from './image-cache.ts';
import type { ImageService, SourceState } from './image-service.ts';
import { known } from './look-up.ts';
import { imagesOfProfiles, namedImages } from './named-images.ts';
import { type OfferedImage, offerImages, wantedImages } from './offered-images.ts';
import type { Registries } from './read-source.ts';

export interface ImageCatalogueOptions {
  readonly config: Pick<Config, 'images' | 'lab'>;
  readonly cache: ImageCache;
  readonly registries: Registries;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** How long a create waits for a registry, in milliseconds. */
const ASK_MS = 5_000;
/** How long a registry that did not answer is not asked by creates, in milliseconds. */
const PAUSE_MS = 30_000;
/** How long an answer for an image that no source looks up is kept, in milliseconds, and how many. */
const KEPT_MS = 60_000;
const KEPT = 1_000;
const REGISTRIES = 100;

/**
 * What labs can be started from by one configuration, and by what the registries have said. The same on every replica: what the leader has
 * read is in the cache, and what nobody has looked up is asked for when a lab is asked for.
 */
export class ImageCatalogue implements ImageService {
  readonly #options: ImageCatalogueOptions;
  readonly #asked = new Memo<string | null>({ keepMs: KEPT_MS, max: KEPT });
  /** Registries that did not answer. */
  readonly #silent = new LRUCache<string, true>({
    max: REGISTRIES,
    ttl: PAUSE_MS,
    perf: { now: () => performance.now() },
  });
  #offered: { readonly version: number; readonly images: readonly OfferedImage[] } | undefined;

  constructor(options: ImageCatalogueOptions) {
    this.#options = options;
  }

  offered(): readonly OfferedImage[] {
    const { config, cache, now = Date.now } = this.#options;
    const { version } = cache;
    if (this.#offered?.version !== version) {
      this.#offered = { version, images: offerImages(config, (name) => cache.get(name)?.found, now()) };
    }
    return this.#offered.images;
  }

  wanted(): readonly WantedImage[] {
    const { config, cache } = this.#options;
    return wantedImages(this.offered(), namedByProfiles(config, cache.get(LISTED)?.found));
  }

  sources(): readonly SourceState[] {
    const { config, cache } = this.#options;
    return config.images.sources.map(({ name }) => {
      const { readAt = null, problem = null, tags = [], built } = cache.get(name)?.found ?? {};
      return { name, readAt, problem, tags: (built ?? tags).length };
    });
  }

  async pin(image: LabImage, signal: AbortSignal): Promise<LabImage> {
    const { pin } = this.#options.config.images;
    const parsed = parseImageReference(image.reference);
    if (parsed === undefined || parsed.digest !== null) return image;
    // Where nothing is pinned, a lab must not say which digest it runs either.
    if (pin === 'never') return { ...image, digest: '' };
    if (image.digest !== '') return pinnedBy(image, image.digest);
    // Where the leader has just asked in vain for what the configuration names, a create does not wait for the same.
    const isMute = pin === 'preferred' && this.#isMute(image.reference);
    const found = this.#known(image.reference) ?? (isMute ? undefined : await this.#find(image.reference, signal));
    if (found === null) throw notThere(image.reference);
    if (found !== undefined) return pinnedBy(image, found);
    if (pin === 'preferred') return image;
    const message =
      'The registry of this image does not say at the moment which image the tag stands for. Try again in a moment.';
    throw new LabwrightError('registry_unavailable', 503, message, { retryAfter: PAUSE_MS / 1000 });
  }

  /** Whether the last reading of what the configuration names has failed, and has not found this image either. */
  #isMute(reference: string): boolean {
    const { config, cache } = this.#options;
    const problem = cache.get(LISTED)?.found?.problem ?? null;
    return problem !== null && namedImages(config).includes(reference);
  }

  /** The digest of an image that a profile names. */
  #known(reference: string): string | undefined {
    return known(this.#options.cache.get(LISTED)?.found, reference)?.digest;
  }

  /** @returns null when the registry says that it is not there, undefined when it does not say */
  async #find(reference: string, signal: AbortSignal): Promise<string | null | undefined> {
    const { registries, logger } = this.#options;
    const parsed = parseImageReference(reference);
    if (parsed === undefined || this.#silent.has(parsed.registry)) return undefined;
    const { registry, repository, tag } = parsed;
    try {
      return await this.#asked.get(reference, signal, (shared) =>
        withDeadline({ ms: ASK_MS, signal: shared }, async (either) => {
          const found = await registries.of(registry).findImage(repository, tag ?? 'latest', { signal: either });
          return found?.digest ?? null;
        }),
      );
    } catch (err) {
      signal.throwIfAborted();
      // What was refused for one repository says nothing of another.
      if (!(err instanceof Problem) || err.transient) this.#silent.set(registry, true);
      logger.warn({ image: reference, err }, 'the digest of an image could not be found out');
      return undefined;
    }
  }
}

function pinnedBy(image: LabImage, digest: string): LabImage {
  return { ...image, reference: pinnedReference(image.reference, digest), digest };
}

/** The images that profiles name beside the list, as far as they have been looked up. */
function namedByProfiles(config: Pick<Config, 'lab'>, found: FoundImages | undefined): WantedImage[] {
  return imagesOfProfiles(config).flatMap((name) => {
    const looked = known(found, withoutDigest(name));
    if (looked === undefined) return [];
    const { digest, size, architectures } = looked;
    return [{ reference: pinnedReference(name, digest), digest, name, size, architectures }];
  });
}

function notThere(reference: string): LabwrightError {
  return new LabwrightError('unknown_image', 400, `Docker reference "${reference}" not found`, {
    loc: ['body', 'options'],
  });
}
