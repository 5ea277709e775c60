import type { LabImage } from '../../domain/lab/lab.ts';
import type { SourceProblem } from '../../domain/image/found-images.ts';
import type { WantedImage } from '../../domain/image/wanted-image.ts';
import type { OfferedImage } from './offered-images.ts';

/** How current what is known of one source is. */
export interface SourceState {
  readonly name: string;
  /** Milliseconds since the epoch; null where it has never been read. */
  readonly readAt: number | null;
  readonly problem: SourceProblem | null;
  /** How many tags it has, or images that were built here. */
  readonly tags: number;
}

/** The images that labs can be started from, as routes ask for them. */
export interface ImageService {
  /** In the order of menus; the same array until something changes. */
  offered(): readonly OfferedImage[];
  /** What is to be on the nodes before anybody asks for it, the most important first, as far as its digest is known. */
  wanted(): readonly WantedImage[];
  sources(): readonly SourceState[];
  /**
   * The image by its digest, which cannot change any more.
   *
   * @throws {LabwrightError} `unknown_image` (400): the registry says that it is not there; `registry_unavailable` (503): the registry cannot
   * say, and labs run nothing else than digests
   */
  pin(image: LabImage, signal: AbortSignal): Promise<LabImage>;
}
