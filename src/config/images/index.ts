import { z } from 'zod';
import { crossCheck, uniqueBy } from '../cross-check.ts';
import { groupNames } from '../lab-size.ts';
import { positiveDuration } from '../units.ts';
import { writeInPattern } from '../write-in.ts';
import { image } from './image.ts';
import { prepull } from './prepull.ts';
import { registryOfImages, source } from './sources.ts';

const MINUTE = 60_000;

const otherImages = z.strictObject({
  groups: groupNames.describe('Groups that may name any other image; everybody when absent.'),
  pattern: writeInPattern
    .exactOptional()
    .describe('Regular expression that all of its reference must match, from the first character to the last.'),
  message: z
    .string()
    .min(1)
    .exactOptional()
    .describe('What must be written, in a sentence: it stands at the field, and answers what does not match.'),
});

/** What labs can run. */
export const images = z
  .strictObject({
    list: z
      .array(image)
      .check(uniqueBy('reference'), uniqueBy('class'))
      .default([])
      .describe('Images by their names, in the order of the form; before those of `sources`.'),
    sources: z
      .array(source)
      .check(uniqueBy('name'))
      .default([])
      .describe('Repositories whose tags are offered, as the registry lists them.'),
    registries: z
      .array(registryOfImages)
      .check(uniqueBy('host'))
      .default([])
      .describe(
        'How registries are asked for tags and digests. One that is not here is asked with HTTPS at its own name and with the credentials of ' +
          '`lab.pullSecret`, that of `builds.registry` as builds ask it.',
      ),
    refresh: positiveDuration
      .refine((ms) => ms >= MINUTE, { error: 'expected 1m or more' })
      .default(5 * MINUTE)
      .describe('How often registries are read.'),
    pin: z
      .enum(['required', 'preferred', 'never'])
      .default('preferred')
      .describe(
        'Whether labs run the digest that a tag stood for when they were asked for. `required`: no lab starts while its registry cannot say it. ' +
          '`preferred`: then it starts by the tag. `never`: labs run tags, and no registry is asked for digests.',
      ),
    prepull: prepull
      .optional()
      .describe('Pull wanted images to the nodes before anybody asks for them (docs/images.md); not done when absent.'),
    allowOther: z
      .union([z.boolean(), otherImages], { error: 'expected true, false, or groups and pattern' })
      .default(false)
      .transform((value) => (value === true ? {} : value))
      .describe('Let users name any other image: `true` for all of them, or only some users and within a pattern.'),
  })
  .check(
    crossCheck(['list', 'sources'], ({ list, sources }, report) => {
      if (list.length === 0 && sources.length === 0) report(['list'], 'expected at least one image, or sources');
    }),
  );
