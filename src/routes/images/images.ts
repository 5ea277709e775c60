import { OpenAPIHono } from '@hono/zod-openapi';
import { parseImageReference, withoutDigest } from '../../domain/image/image-reference.ts';
import { type FindWarmth, isWarm, warmthBy } from '../../domain/image/prepull/view.ts';
import type { ImageService, SourceState } from '../../reconcile/images/image-service.ts';
import type { OfferedImage } from '../../reconcile/images/offered-images.ts';
import type { AppEnv } from '../server/context.ts';
import type { WithImages } from '../server/deps.ts';
import { refuseInvalid } from '../server/errors.ts';
import { type DetailedImage, type ImageCatalogue, listImages, type SpawnerImages } from './images-contract.ts';

/** Which images labs can be started from, in Nublado's JSON and in one that says how current it is. */
export function imageRoutes({ images, prepull }: WithImages): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  routes.openapi(listImages, (c) => {
    const warmth = warmthBy(prepull);
    return c.req.valid('query').detail
      ? c.json(catalogueOf(images, warmth), 200)
      : c.json(spawnerImages(images.offered(), warmth), 200);
  });
  return routes;
}

function spawnerImages(offered: readonly OfferedImage[], warmth: FindWarmth | undefined): SpawnerImages {
  const find = (wanted: OfferedImage['classes'][number]) => offered.find(({ classes }) => classes.includes(wanted));
  const named = {
    recommended: find('recommended'),
    latest_weekly: find('latest-weekly'),
    latest_daily: find('latest-daily'),
    latest_release: find('latest-release'),
  };
  const there = Object.entries(named).flatMap(([key, image]) =>
    image === undefined ? [] : [[key, imageOf(image, warmth)] as const],
  );
  return { ...Object.fromEntries(there), all: offered.map((image) => imageOf(image, warmth)) };
}

function imageOf(image: OfferedImage, find: FindWarmth | undefined): SpawnerImages['all'][number] {
  const { reference, name, digest, tag } = image;
  const tagged = withoutDigest(reference);
  const known = digest === null ? undefined : find?.(digest);
  return {
    reference: tagged,
    tag: parseImageReference(reference)?.tag ?? '',
    name: name ?? tagged,
    ...(digest === null ? {} : { digest }),
    aliases: [...(tag?.aliases ?? [])],
    prepulled: isWarm(known),
  };
}

function catalogueOf(images: ImageService, warmth: FindWarmth | undefined): ImageCatalogue {
  return {
    sources: images.sources().map(sourceOf),
    images: images.offered().map((image) => detailedImage(image, warmth)),
  };
}

function sourceOf({ name, readAt, problem, tags }: SourceState): ImageCatalogue['sources'][number] {
  return {
    name,
    read_at: readAt === null ? null : time(readAt),
    tags,
    problem: problem && { reason: problem.reason, message: problem.message, since: time(problem.since) },
  };
}

function detailedImage(image: OfferedImage, find: FindWarmth | undefined): DetailedImage {
  const { tag, groups, architectures, digest } = image;
  const known = digest === null ? undefined : find?.(digest);
  return {
    ...imageOf(image, find),
    source: image.origin === image.reference ? null : image.origin,
    kind: tag?.kind ?? null,
    alias_of: tag?.aliasOf ?? null,
    classes: [...image.classes],
    wanted: image.isWanted,
    listed: image.isListed,
    deprecated: image.isDeprecated,
    size: image.size,
    architectures: architectures === null ? null : [...architectures],
    groups: groups === undefined ? null : [...groups],
    nodes: known === undefined ? null : [...known.nodes],
    missing: known === undefined ? null : [...known.missing],
  };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
