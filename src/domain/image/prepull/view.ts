import type { WantedImage } from '../wanted-image.ts';

/** Where one wanted image stands over all nodes. */
export interface Warmth {
  /** Eligible nodes that have it, and those that are to have it and lack it. */
  readonly nodes: readonly string[];
  readonly missing: readonly string[];
  /** The last failure of a pull on a node that lacks it. `message` is what the kubelet quotes: for administrators. */
  readonly failure?: { readonly reason: string; readonly message: string };
  /** Median of what its last pulls took, in milliseconds. */
  readonly pullMs?: number;
}

export interface PrepullNode {
  readonly name: string;
  readonly eligible: boolean;
  /** One sentence for administrators: why it is not eligible, or which images are left out and why. */
  readonly comment: string | null;
  /** Digests of the wanted images that it has. */
  readonly cached: readonly string[];
  /** Digests of the images that it pulls now. */
  readonly pulling: readonly string[];
  /** What could not be pulled; the digest is empty where no pod could be started on the node. Moments in milliseconds since the epoch. */
  readonly failures: readonly {
    readonly digest: string;
    readonly reason: string;
    readonly message: string;
    readonly count: number;
    readonly at: number;
    readonly nextAt: number;
  }[];
}

/** What is pulled ahead and how far that is. */
export interface PrepullView {
  /** Whether the nodes are known: not before the first list of them, and not without the right to see them. */
  readonly isKnown: boolean;
  /** The images that are pulled ahead, the most important first. */
  wanted(): readonly WantedImage[];
  /** @returns undefined for an image that is not wanted */
  of(digest: string): Warmth | undefined;
  nodes(): readonly PrepullNode[];
}

/** Where an image stands; undefined for one that is not pulled ahead. */
export type FindWarmth = PrepullView['of'];

/** Undefined where nothing is pulled ahead, and while nothing is known of nodes. */
export function warmthBy(view: PrepullView | undefined): FindWarmth | undefined {
  return view?.isKnown === true ? (digest) => view.of(digest) : undefined;
}

/** Whether every node that is to have it has it. */
export function isWarm(warmth: Warmth | undefined): boolean {
  return warmth !== undefined && warmth.nodes.length > 0 && warmth.missing.length === 0;
}
