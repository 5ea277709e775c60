import type { Config } from '../../../config/index.ts';
import { assessNode, type NodeAssessment } from '../../../domain/image/prepull/assess.ts';
import { has } from '../../../domain/image/prepull/record.ts';
import type { PrepullNode, PrepullView, Warmth } from '../../../domain/image/prepull/view.ts';
import type { WantedImage, WantedImages } from '../../../domain/image/wanted-image.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { PrepullCache } from './prepull-cache.ts';
import { prepullSettings } from './settings.ts';

export interface PrepullStatusOptions {
  readonly cache: PrepullCache;
  readonly wanted: WantedImages;
  /** What holds now. */
  readonly config: () => Config;
  readonly clock?: Clock;
}

interface Picture {
  readonly images: readonly WantedImage[];
  readonly warmth: ReadonlyMap<string, Warmth>;
  readonly nodes: readonly PrepullNode[];
}

/** For how long a picture is shown although nothing has changed: what is remembered becomes too old. Milliseconds. */
const PICTURE_MS = 10_000;

/** What is pulled ahead and how far that is, on every replica, from its own cache. */
export class PrepullStatus implements PrepullView {
  readonly #options: PrepullStatusOptions;
  readonly #clock: Clock;
  #picture:
    { readonly value: Picture; readonly version: number; readonly config: Config; readonly at: number } | undefined;

  constructor(options: PrepullStatusOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    // As long as the process lives. To ask what is wanted takes longer than to answer from a picture of it.
    options.wanted.onChange(() => (this.#picture = undefined), new AbortController().signal);
  }

  get isKnown(): boolean {
    return this.#options.cache.isSynced;
  }

  wanted(): readonly WantedImage[] {
    return this.#current.images;
  }

  of(digest: string): Warmth | undefined {
    return this.#current.warmth.get(digest);
  }

  nodes(): readonly PrepullNode[] {
    return this.#current.nodes;
  }

  get #current(): Picture {
    const { cache } = this.#options;
    const [config, at] = [this.#options.config(), this.#clock.monotonic()];
    const last = this.#picture;
    if (!cache.isSynced) return this.#draw(config);
    const isSame = last?.version === cache.version && last.config === config;
    if (isSame && at - last.at < PICTURE_MS) return last.value;
    const value = this.#draw(config);
    this.#picture = { value, version: cache.version, config, at };
    return value;
  }

  #draw(config: Config): Picture {
    const { cache, wanted } = this.#options;
    const settings = prepullSettings(config);
    const images = wanted.wanted();
    if (settings === undefined || !cache.isSynced) return { images, warmth: new Map(), nodes: [] };
    const record = cache.record.value;
    const now = this.#clock.now();
    const assessed = cache.nodes
      .map((node) => assessNode(node, images, settings))
      .sort((one, other) => (one.node.name < other.node.name ? -1 : 1));
    const holds = ({ node }: NodeAssessment, digest: string) => has(node, digest, record, now);
    const pulling = new Map(cache.pullers.map((puller) => [puller.node, puller.digests]));
    const nodes = assessed.map((each): PrepullNode => {
      const { name } = each.node;
      return {
        ...{ name, eligible: each.isEligible, comment: each.comment },
        cached: images.map(({ digest }) => digest).filter((digest) => holds(each, digest)),
        pulling: pulling.get(name) ?? [],
        failures: [...(record.failures.get(name) ?? [])].map(([digest, failure]) => ({ digest, ...failure })),
      };
    });
    const warmth = new Map<string, Warmth>();
    for (const { digest } of images) {
      const there = assessed.filter((each) => each.isEligible && holds(each, digest));
      const missing = assessed.filter(
        (each) => each.images.some((one) => one.digest === digest) && !holds(each, digest),
      );
      const failures = missing.flatMap(({ node }) => record.failures.get(node.name)?.get(digest) ?? []);
      const [latest] = failures.toSorted((one, other) => other.at - one.at);
      const pullMs = median(record.took.get(digest) ?? []);
      warmth.set(digest, {
        nodes: there.map(({ node }) => node.name),
        missing: missing.map(({ node }) => node.name),
        ...(latest === undefined ? {} : { failure: { reason: latest.reason, message: latest.message } }),
        ...(pullMs === undefined ? {} : { pullMs }),
      });
    }
    return { images, warmth, nodes };
  }
}

function median(times: readonly number[]): number | undefined {
  return times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)];
}
