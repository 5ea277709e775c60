import type { Config, ImagesConfig } from '../../config/index.ts';
import type { OfferedImage } from '../../reconcile/images/offered-images.ts';

/** The configuration with all images that are offered now in its list: those of sources, too. */
export interface OfferedConfig extends Omit<Config, 'images'> {
  readonly images: Omit<ImagesConfig, 'list'> & { readonly list: readonly OfferedImage[] };
}

/** @returns makes the same of the same images, so that what is kept by the list is found again */
export function offeringConfig(config: Config, offered: () => readonly OfferedImage[]): () => OfferedConfig {
  let made: OfferedConfig | undefined;
  return () => {
    const list = offered();
    if (made?.images.list !== list) made = { ...config, images: { ...config.images, list } };
    return made;
  };
}
