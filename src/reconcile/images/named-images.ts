import type { Config, ProfileConfig } from '../../config/index.ts';

/** The images that the configuration names: those of the list, and those of profiles and their choices. */
export function namedImages({ images, lab }: Pick<Config, 'images' | 'lab'>): string[] {
  return [...new Set([...images.list.map(({ reference }) => reference), ...imagesOfProfiles({ lab })])];
}

/** Those of profiles and their choices, each once. */
export function imagesOfProfiles({ lab }: Pick<Config, 'lab'>): string[] {
  return [...new Set(lab.profiles.flatMap(imagesOf))];
}

function imagesOf(profile: ProfileConfig): string[] {
  const choices = Object.values(profile.options).flatMap((option) => option.choices);
  return [profile, ...choices].flatMap(({ image }) => image ?? []);
}
