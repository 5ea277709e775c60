import { describeMemory } from '../../../util/quantities.ts';
import type { WantedImage } from '../wanted-image.ts';
import type { PullNode } from './node.ts';
import { type Placement, whyNoLabs } from './placement.ts';

/** What the configuration says of pulling ahead. */
export interface PrepullSettings {
  readonly placement: Placement;
  /** Most nodes that pull at once; a node pulls one image at a time. */
  readonly pullsAtOnce: number;
  /** Most of them from one registry. */
  readonly perRegistry: number;
  /** How long the pull of one image may take, in milliseconds. */
  readonly timeout: number;
  /** Share of a node's ephemeral storage that wanted images may take, 0 to 1. */
  readonly diskShare: number;
  /** When in the day pulls may begin; undefined for always. */
  readonly window?: PullWindow | undefined;
}

export interface PullWindow {
  /** Minutes after midnight at which all is to be there. */
  readonly before: number;
  /** IANA name: `Europe/Berlin`. */
  readonly timeZone: string;
  /** How long before that pulls begin, in milliseconds. */
  readonly lead: number;
}

/** Which images belong on a node. */
export interface NodeAssessment {
  readonly node: PullNode;
  readonly isEligible: boolean;
  /** One sentence for administrators: why it is not eligible, or what is left out. */
  readonly comment: string | null;
  /** The images that it is to have, the most important first; none where it is not eligible. */
  readonly images: readonly WantedImage[];
}

/**
 * Bytes on disk for each compressed byte of an image: containerd keeps the compressed layers (1) beside the unpacked ones, and
 * layers of notebook images unpack to 2.5 to 3 times their size.
 */
const ON_DISK = 3.5;

export function assessNode(
  node: PullNode,
  wanted: readonly WantedImage[],
  { placement, diskShare }: Pick<PrepullSettings, 'placement' | 'diskShare'>,
): NodeAssessment {
  const reason = whyNoLabs(node, placement);
  if (reason !== undefined) return { node, isEligible: false, comment: reason, images: [] };
  const seen = new Set<string>();
  const suitable = wanted.filter(({ digest, architectures }) => {
    // Two tags of one image are one image.
    const isSuitable = !seen.has(digest) && runsOn(node, architectures);
    seen.add(digest);
    return isSuitable;
  });
  const room = node.ephemeralStorage === null ? Number.POSITIVE_INFINITY : node.ephemeralStorage * diskShare;
  let taken = 0;
  const images: WantedImage[] = [];
  const leftOut: WantedImage[] = [];
  for (const image of suitable) {
    const bytes = (image.size ?? 0) * ON_DISK;
    // What is less important than one that does not fit is not taken in its place: the order would say nothing any more.
    if (leftOut.length > 0 || taken + bytes > room) leftOut.push(image);
    else {
      taken += bytes;
      images.push(image);
    }
  }
  return { node, isEligible: true, comment: leftOut.length === 0 ? null : describeLeftOut(leftOut, room), images };
}

function describeLeftOut(leftOut: readonly WantedImage[], room: number): string {
  const names = leftOut.map(({ name }) => name);
  const shown = names.slice(0, 5).join(', ');
  const more = names.length > 5 ? ` and ${String(names.length - 5)} more` : '';
  const gibibytes = Math.round(room / 2 ** 30) * 2 ** 30;
  return `Not pulled ahead, since images may take ${describeMemory(gibibytes)} of the disk of the node: ${shown}${more}`;
}

function runsOn({ architecture }: PullNode, architectures: readonly string[] | null): boolean {
  return architectures === null || architecture === null || architectures.includes(architecture);
}
