import type { Config } from '../../config/index.ts';
import type { WantedImage } from '../../domain/image/wanted-image.ts';
import type { LabImage } from '../../domain/lab/lab.ts';
import type { ImageService, SourceState } from './image-service.ts';
import { type OfferedImage, offerImages, wantedImages } from './offered-images.ts';

/** The images of the configuration where no registry is asked: a cluster that pulls nothing. Tags stay tags. */
export class ConfiguredImages implements ImageService {
  readonly #offered: readonly OfferedImage[];
  readonly #sources: readonly SourceState[];

  constructor(config: Pick<Config, 'images'>) {
    this.#offered = offerImages(config, () => undefined, 0);
    this.#sources = config.images.sources.map(({ name }) => ({ name, readAt: null, problem: null, tags: 0 }));
  }

  offered(): readonly OfferedImage[] {
    return this.#offered;
  }

  wanted(): readonly WantedImage[] {
    return wantedImages(this.#offered);
  }

  sources(): readonly SourceState[] {
    return this.#sources;
  }

  pin(image: LabImage): Promise<LabImage> {
    return Promise.resolve(image);
  }
}
