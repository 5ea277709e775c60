import { z } from 'zod';
import { overlaySettings } from '../lab-overlay.ts';
import { taggedImage } from '../lab-pieces.ts';
import { groupNames } from '../lab-size.ts';

/** What an image of the list and all images of a source can have. */
export const imageSettings = {
  description: z.string().min(1).exactOptional().describe('What it is for, in the form.'),
  groups: groupNames.describe('Groups that may choose it; everybody when absent.'),
  sizes: z.array(z.string()).min(1).exactOptional().describe('Sizes that it can be used with; all when absent.'),
  lab: overlaySettings
    .exactOptional()
    .describe('Settings of labs of this image, laid over those of the size; as in `overlays[].lab`.'),
};

export const IMAGE_CLASSES = ['recommended', 'latest-release', 'latest-weekly', 'latest-daily'] as const;
export type ImageClass = (typeof IMAGE_CLASSES)[number];

/** One image by its name. */
export const image = z.strictObject({
  reference: taggedImage.describe('Image with tag or digest.'),
  name: z.string().min(1).optional().describe('Name in the form; the reference when absent.'),
  ...imageSettings,
  class: z.enum(IMAGE_CLASSES).optional().describe('Image class that stands for this image.'),
});
