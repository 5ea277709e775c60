import { createRoute, z } from '@hono/zod-openapi';
import { Detail } from '../server/flag-query.ts';
import { secured } from '../server/permissions.ts';
import { json } from '../server/responses.ts';

const Image = z
  .object({
    reference: z
      .string()
      .meta({ description: 'Without a digest.', example: 'quay.io/jupyter/scipy-notebook:2026-11-02' }),
    tag: z.string(),
    name: z.string().meta({ description: 'For people.' }),
    digest: z.string().optional(),
    aliases: z.array(z.string()).meta({ description: 'Other tags of the same image.' }),
    prepulled: z.boolean().meta({ description: 'Whether every machine that labs can be placed on has it.' }),
  })
  .meta({ id: 'PrepulledImage' });

/** The images as Nublado lists them. */
export const SpawnerImages = z
  .object({
    recommended: Image.optional(),
    latest_weekly: Image.optional(),
    latest_daily: Image.optional(),
    latest_release: Image.optional(),
    all: z.array(Image),
  })
  .meta({ id: 'SpawnerImages' });
export type SpawnerImages = z.output<typeof SpawnerImages>;

const Time = z.string().nullable();

const DetailedImage = Image.extend({
  source: z.string().nullable().meta({ description: 'Name of the source; null for an image of the list.' }),
  kind: z.string().nullable().meta({ description: 'What its tag says that it is, such as `release`.' }),
  alias_of: z.string().nullable().meta({ description: 'The tag that an alias stands for.' }),
  classes: z.array(z.string()),
  wanted: z.boolean().meta({ description: 'Offered first, and pulled ahead.' }),
  listed: z.boolean().meta({ description: 'In the form. Others are started by whoever names them.' }),
  deprecated: z.boolean(),
  size: z.int().nullable().meta({ description: 'Compressed bytes of its layers.' }),
  architectures: z.array(z.string()).nullable(),
  groups: z.array(z.string()).nullable().meta({ description: 'Groups that may choose it; null for everybody.' }),
  nodes: z
    .array(z.string())
    .nullable()
    .meta({ description: 'Machines that have it; null where nobody keeps account.' }),
  missing: z
    .array(z.string())
    .nullable()
    .meta({ description: 'Machines that labs can be placed on and that lack it.' }),
}).meta({ id: 'DetailedImage' });
export type DetailedImage = z.output<typeof DetailedImage>;

const Source = z
  .object({
    name: z.string(),
    read_at: Time.meta({ description: 'When it was last read; null where that has never succeeded.' }),
    tags: z.int().meta({ description: 'How many tags it has, or images that Labwright has built.' }),
    problem: z
      .object({
        reason: z.string(),
        message: z.string(),
        since: z.string().meta({ description: 'Since when every attempt to read it has failed.' }),
      })
      .nullable(),
  })
  .meta({ id: 'ImageSource' });

/** Everything that is known of images; `?detail=true`. Times are RFC 3339. */
export const ImageCatalogue = z
  .object({ sources: z.array(Source), images: z.array(DetailedImage) })
  .meta({ id: 'ImageCatalogue' });
export type ImageCatalogue = z.output<typeof ImageCatalogue>;

export const listImages = createRoute({
  ...secured('listImages'),
  method: 'get',
  path: '/images',
  summary: 'Images that labs can be started from',
  request: { query: Detail },
  responses: { 200: json(z.union([SpawnerImages, ImageCatalogue]), 'The images') },
});
