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
 * counted anew when something of the images has changed, which is with each reading of a registry at the latest.
 */
export class Wanted implements WantedImages {
  readonly #options: WantedOptions;
  readonly #listeners = new Set<() => void>();
  #images: ImageService | undefined;
  /** Undefined since the last change: only who pulls ahead asks. */
  #wanted: readonly WantedImage[] | undefined;

  constructor(options: WantedOptions) {
    this.#options = options;
  }

  use(images: ImageService): void {
    this.#images = images;
    this.changed();
  }

  changed(): void {
    this.#wanted = undefined;
    for (const listener of this.#listeners) listener();
  }

  wanted(): readonly WantedImage[] {
    return (this.#wanted ??= this.#find());
  }

  #find(): readonly WantedImage[] {
    if (this.#images === undefined) return [];
    const { labs, mostUsed: howMany } = this.#options;
    const count = howMany();
    const used = count === 0 ? [] : mostUsed(this.#images.offered(), labs(), count);
    return wantedImages([], [...this.#images.wanted(), ...used]);
  }

  onChange(listener: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }
}
