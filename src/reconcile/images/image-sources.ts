import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type Config, LISTED } from '../../config/index.ts';
import {
  buildFoundImages,
  type FoundImages,
  foundImagesName,
  type SourceProblem,
} from '../../domain/image/found-images.ts';
import { Problem } from '../../domain/problem.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { ConfigMaps } from '../../storage/kubernetes/resources.ts';
import { Backoff, jittered } from '../../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { Controller, type Run } from '../controller.ts';
import type { Result } from '../work-queue.ts';
import type { ImageCache } from './image-cache.ts';
import { namedImages } from './named-images.ts';
import { originOf, readListed, type Reading, type ReadingOptions, readSource, type Registries } from './read-source.ts';

export interface ImageSourcesOptions {
  readonly client: KubeClient;
  readonly cache: ImageCache;
  readonly registries: Registries;
  /** The configuration that holds now. */
  readonly config: () => Pick<Config, 'images' | 'lab'>;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly clock?: Clock;
}

/** The first pause after a reading that has failed, in milliseconds. The longest is the time between two readings. */
const FIRST_PAUSE_MS = 15_000;
/** One reading of thousands of tags over a slow registry. */
const RUN_TIMEOUT_MS = 3 * 60_000;
const AT_ONCE = 2;

/**
 * Reads the sources of images and writes down what it has found, for every replica: one ConfigMap for each source, one for the images that
 * the configuration names itself.
 *
 * | a source | what happens |
 * |---|---|
 * | was read less than `images.refresh` ago, by whichever replica | nothing until then |
 * | is due | it is read, and what was found replaces what was known, if nobody else has done so meanwhile |
 * | cannot be read | what is known stays, with the reason and since when; tried again after a pause that doubles |
 * | is not configured any more | its ConfigMap is removed |
 */
export class ImageSources {
  readonly #options: ImageSourcesOptions;
  readonly #clock: Clock;
  /** Pauses of sources whose last reading has failed, and when by the monotonic clock each is tried again. */
  readonly #failing = new Map<string, { readonly backoff: Backoff; readonly origin: string; retryAt: number }>();

  constructor(options: ImageSourcesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  keys(): string[] {
    const { config, cache } = this.#options;
    const { images } = config();
    return [...new Set([LISTED, ...images.sources.map(({ name }) => name), ...cache.sources()])];
  }

  async reconcile(name: string, { signal, logger }: Run): Promise<Result> {
    const { cache, config } = this.#options;
    const { images } = config();
    const work = this.#workOf(name);
    if (work === undefined) return this.#remove(name);
    const cached = cache.get(name);
    const isSame = cached?.found?.origin === work.origin;
    // What the configuration lists is kept by its names, and a list that has changed is one all the same.
    const before = isSame || name === LISTED ? cached?.found : undefined;
    const wait = this.#wait(name, work.origin, isSame ? before : undefined);
    if (wait > 0) return { requeueAfterMs: wait };
    const { registries } = this.#options;
    const reading = await work
      .read({ before, registries, signal, now: this.#clock.now() })
      .catch((failure: unknown): Reading => {
        signal.throwIfAborted();
        return { tags: before?.tags ?? [], images: before?.images ?? {}, failure };
      });
    const { failure, ...read } = reading;
    const problem = failure === undefined ? null : this.#problem(name, failure, before, logger);
    if (failure === undefined && this.#failing.delete(name))
      logger.info({ source: name }, 'an image source is read again');
    const readAt = failure === undefined ? this.#clock.now() : (before?.readAt ?? null);
    await this.#write(name, { origin: work.origin, readAt, ...read, problem }, before, cached?.resourceVersion);
    const again = failure === undefined ? jittered(images.refresh) : this.#fail(name, work.origin);
    return { requeueAfterMs: again };
  }

  /** How a source is read; undefined for one that is not configured any more. */
  #workOf(name: string) {
    const whole = this.#options.config();
    if (name === LISTED) {
      const references = whole.images.pin === 'never' ? [] : namedImages(whole);
      if (references.length === 0) return undefined;
      return {
        origin: references.join(' '),
        read: (options: ReadingOptions) => readListed(references, options),
      };
    }
    const source = whole.images.sources.find((each) => each.name === name);
    if (source === undefined) return undefined;
    return {
      origin: originOf(source),
      read: (options: ReadingOptions) => readSource(source, options),
    };
  }

  /** For how long a source is left alone, in milliseconds. */
  #wait(name: string, origin: string, before: FoundImages | undefined): number {
    const failing = this.#failing.get(name);
    if (failing?.origin === origin) return failing.retryAt - this.#clock.monotonic();
    if (before === undefined || before.readAt === null || before.problem !== null) return 0;
    return before.readAt + this.#options.config().images.refresh - this.#clock.now();
  }

  #fail(name: string, origin: string): number {
    const longestMs = this.#options.config().images.refresh;
    const known = this.#failing.get(name);
    const backoff = known?.origin === origin ? known.backoff : new Backoff({ firstMs: FIRST_PAUSE_MS, longestMs });
    const pause = backoff.next();
    this.#failing.set(name, { backoff, origin, retryAt: this.#clock.monotonic() + pause });
    return pause;
  }

  #problem(source: string, failure: unknown, before: FoundImages | undefined, logger: Logger): SourceProblem {
    const problem = describe(failure, before?.problem?.since ?? this.#clock.now());
    const isNews = before?.problem?.message !== problem.message;
    logger[isNews ? 'warn' : 'debug'](
      { source, err: failure },
      'an image source cannot be read; what is known of it stays',
    );
    return problem;
  }

  /** Not what is written already: another failure of the same kind is no news. */
  async #write(
    name: string,
    found: FoundImages,
    before: FoundImages | undefined,
    version: string | undefined,
  ): Promise<void> {
    const { client, cache, controller } = this.#options;
    if (isDeepStrictEqual(found, before)) return;
    const map = buildFoundImages(name, found, controller, version);
    try {
      cache.observe(await (version === undefined ? client.create(ConfigMaps, map) : client.replace(ConfigMaps, map)));
    } catch (error) {
      // Another replica was faster, or it was removed: what is there now decides, once the cache shows it.
      if (!isKubeError(error, 409) && !isOutdated(error)) throw error;
      await this.#look(name);
    }
  }

  async #look(name: string): Promise<void> {
    const { client, cache, controller } = this.#options;
    const map = await client.get(ConfigMaps, { namespace: controller, name: foundImagesName(name) });
    const cached = cache.get(name);
    if (map !== undefined) cache.observe(map);
    else if (cached !== undefined) cache.forget(name, cached.uid);
  }

  async #remove(name: string): Promise<Result> {
    const { client, cache, controller } = this.#options;
    this.#failing.delete(name);
    const cached = cache.get(name);
    if (cached === undefined) return {};
    const ref = { namespace: controller, name: foundImagesName(name) };
    await client.delete(ConfigMaps, ref, { uid: cached.uid });
    cache.forget(name, cached.uid);
    return {};
  }
}

function describe(failure: unknown, since: number): SourceProblem {
  if (failure instanceof Problem) return { reason: failure.reason, message: failure.message, since };
  if (failure instanceof RangeError) return { reason: 'TooManyTags', message: failure.message, since };
  return { reason: 'Unknown', message: 'It could not be read; the log of Labwright says why.', since };
}

/** @param sources of the configuration that holds now */
export function imageSourcesController(sources: ImageSources, cache: ImageCache, logger: Logger): Controller {
  return new Controller({
    ...{ name: 'image-sources', caches: [cache], sources: [], logger },
    keys: () => sources.keys(),
    reconcile: (name, run) => sources.reconcile(name, run),
    concurrency: AT_ONCE,
    runTimeoutMs: RUN_TIMEOUT_MS,
  });
}
