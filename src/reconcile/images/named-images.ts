import type { Config, ProfileConfig } from '../../config/index.ts';

/** The images that the configuration names: those of the list, and those of profiles and their choices. */
export function namedImages({ images, lab }: Pick<Config, 'images' | 'lab'>): string[] {
  const named = [...images.list.map(({ reference }) => reference), ...lab.profiles.flatMap(imagesOf)];
  return [...new Set(named)];
}

function imagesOf(profile: ProfileConfig): string[] {
  const choices = Object.values(profile.options).flatMap((option) => option.choices);
  return [profile, ...choices].flatMap(({ image }) => image ?? []);
}
