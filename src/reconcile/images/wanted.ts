import type { WantedImage, WantedImages } from '../../domain/image/wanted-image.ts';
import type { ImageService } from './image-service.ts';
import { mostUsed, wantedImages } from './offered-images.ts';

export interface WantedOptions {
  /** Digests of what the labs run that there are, one for each lab. */
  readonly labs: () => Iterable<string>;
  /** How many of the images that most of these labs run are wanted, too. */
  readonly mostUsed: () => number;
}

/**
 * The images that are to be on the nodes: those that sources and the configuration want, and those that most labs run. What labs run is
 * counted when something of the images changes, which is with each reading of a registry at the latest.
 */
export class Wanted implements WantedImages {
  readonly #options: WantedOptions;
  readonly #listeners = new Set<() => void>();
  #images: ImageService | undefined;
  #wanted: readonly WantedImage[] = [];

  constructor(options: WantedOptions) {
    this.#options = options;
  }

  use(images: ImageService): void {
    this.#images = images;
    this.changed();
  }

  changed(): void {
    if (this.#images === undefined) return;
    const { labs, mostUsed: count } = this.#options;
    const used = mostUsed(this.#images.offered(), labs(), count());
    this.#wanted = wantedImages([], [...this.#images.wanted(), ...used]);
    for (const listener of this.#listeners) listener();
  }

  wanted(): readonly WantedImage[] {
    return this.#wanted;
  }

  onChange(listener: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }
}
