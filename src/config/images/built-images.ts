import { z } from 'zod';
import { repositoryPattern } from '../builds/repositories.ts';
import { crossCheck } from '../cross-check.ts';

/** Most images of one repository. */
const MOST = 50;

/** Images that were built here, by the repositories that they were built from. */
export const builtImages = z
  .strictObject({
    repositories: z
      .array(repositoryPattern)
      .min(1)
      .describe(
        'Repositories whose images are offered to everybody who may choose from this source, also to those who cannot read the repository: patterns ' +
          'as in `builds.repositories.allowed`.',
      ),
    newest: z
      .int()
      .min(1)
      .max(MOST)
      .default(5)
      .describe('How many images of each repository are remembered and offered: those that were built last.'),
    wanted: z
      .int()
      .min(0)
      .max(MOST)
      .default(0)
      .describe('How many of the newest images of each repository are offered first and pulled ahead.'),
  })
  .check(
    crossCheck(['newest', 'wanted'], ({ newest, wanted }, report) => {
      if (wanted > newest) report(['wanted'], `expected no more than newest (${newest})`);
    }),
  );

interface Whole {
  readonly images: { readonly sources: readonly { readonly builds?: unknown }[] };
  readonly builds?: unknown;
}

/** Images that are built are offered where images are built. */
export const checkBuiltImages = crossCheck<Whole>(['images', 'builds'], ({ images, builds }, report) => {
  if (builds !== undefined) return;
  images.sources.forEach((source, at) => {
    if (source.builds !== undefined)
      report(['images', 'sources', at, 'builds'], 'expected builds to be configured: nothing is built here');
  });
});
