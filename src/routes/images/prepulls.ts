import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Config, ImagesConfig, ImageSourceConfig } from '../../config/index.ts';
import { parseImageReference, withoutDigest } from '../../domain/image/image-reference.ts';
import type { PrepullView, Warmth } from '../../domain/image/prepull/view.ts';
import type { WantedImage } from '../../domain/image/wanted-image.ts';
import type { AppEnv } from '../server/context.ts';
import type { AppDeps } from '../server/deps.ts';
import { refuseInvalid } from '../server/errors.ts';
import { secured } from '../server/permissions.ts';
import { json } from '../server/responses.ts';

const NodeImage = z
  .object({
    reference: z.string(),
    tag: z.string(),
    name: z.string(),
    digest: z.string().nullable(),
    size: z.number().nullable(),
    nodes: z.array(z.string()),
    missing: z.array(z.string()),
  })
  .meta({ id: 'NodeImage' });

const PrepullerStatus = z
  .object({
    config: z.object({
      source: z.union([
        z.object({ type: z.literal('docker'), registry: z.string(), repository: z.string() }),
        z.object({
          ...{ type: z.literal('google'), location: z.string(), project_id: z.string() },
          ...{ repository: z.string(), image: z.string() },
        }),
      ]),
      refresh_interval: z.number(),
      prepull_timeout: z.number(),
      recommended_tag: z.string(),
      num_releases: z.int(),
      num_weeklies: z.int(),
      num_dailies: z.int(),
      cycle: z.int().nullable(),
      pin: z.array(z.string()),
      alias_tags: z.array(z.string()),
    }),
    images: z.object({ prepulled: z.array(NodeImage), pending: z.array(NodeImage) }),
    nodes: z.array(
      z.object({
        name: z.string(),
        eligible: z.boolean(),
        comment: z.string().nullable(),
        cached: z.array(z.string()),
      }),
    ),
  })
  .meta({
    id: 'PrepullerStatus',
    description:
      'As Nublado has it, whose configuration is that of one source: here that of the first. An image is `prepulled` when no eligible node lacks it.',
  });

const ImageNodes = z
  .object({
    enabled: z.boolean().meta({ description: 'Whether images are pulled ahead at all.' }),
    known: z.boolean().meta({ description: 'Whether this replica has seen the nodes.' }),
    images: z.array(
      z.object({
        reference: z.string(),
        name: z.string(),
        digest: z.string(),
        size: z.number().nullable(),
        nodes: z.array(z.string()).meta({ description: 'Eligible nodes that have it.' }),
        missing: z.array(z.string()).meta({ description: 'Nodes that are to have it and lack it.' }),
        pull_seconds: z.number().nullable().meta({ description: 'Median of what its last pulls took.' }),
      }),
    ),
    nodes: z.array(
      z.object({
        name: z.string(),
        eligible: z.boolean(),
        comment: z.string().nullable(),
        cached: z.array(z.string()).meta({ description: 'Digests of the images above that it has.' }),
        pulling: z.array(z.string()),
        failures: z.array(
          z.object({
            digest: z.string().nullable().meta({ description: 'Null where no pod could be started on the node.' }),
            reason: z.string(),
            message: z.string(),
            count: z.int().meta({ description: 'Failures in a row.' }),
            at: z.iso.datetime(),
            next_at: z.iso.datetime().meta({ description: 'Not tried again before that.' }),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'ImageNodes' });

const getPrepulls = createRoute({
  ...secured('getPrepulls'),
  method: 'get',
  path: '/prepulls',
  summary: 'Which images are pulled ahead, in the JSON of Nublado',
  responses: { 200: json(PrepullerStatus, 'The images and the nodes') },
});

const getImageNodes = createRoute({
  ...secured('getImageNodes'),
  method: 'get',
  path: '/nodes',
  summary: 'Which images are pulled ahead to which nodes, and what failed',
  responses: { 200: json(ImageNodes, 'The images and the nodes') },
});

/** To be mounted at Nublado's path. */
export function prepullRoutes({ config, prepull }: Pick<AppDeps, 'config' | 'prepull'>): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  return routes.openapi(getPrepulls, (c) => c.json(prepullerStatus(config, prepull), 200));
}

export function imageNodeRoutes({ prepull }: Pick<AppDeps, 'prepull'>): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  return routes.openapi(getImageNodes, (c) => c.json(imageNodes(prepull), 200));
}

const COLD: Warmth = { nodes: [], missing: [] };

function prepullerStatus({ images }: Config, view: PrepullView | undefined): z.infer<typeof PrepullerStatus> {
  const wanted = view?.wanted() ?? [];
  const all = wanted.map((image) => nodeImage(image, view?.of(image.digest) ?? COLD));
  const isDone = view?.isKnown === true;
  const references = new Map(wanted.map((image) => [image.digest, withoutDigest(image.reference)]));
  return {
    config: nubladoConfig(images),
    images: {
      prepulled: all.filter(({ missing }) => isDone && missing.length === 0),
      pending: all.filter(({ missing }) => !isDone || missing.length > 0),
    },
    nodes: (view?.nodes() ?? []).map(({ name, eligible, comment, cached }) => ({
      ...{ name, eligible, comment },
      cached: cached.flatMap((digest) => references.get(digest) ?? []),
    })),
  };
}

/** What Nublado would be configured with, as far as its words go. */
function nubladoConfig({ list, sources, refresh, prepull }: ImagesConfig): z.infer<typeof PrepullerStatus>['config'] {
  const [first] = sources;
  const wanted = (kind: string) => first?.tags.kinds[kind]?.wanted ?? 0;
  return {
    source: first?.artifactRegistry === undefined ? dockerSource(list, first) : googleSource(first.artifactRegistry),
    refresh_interval: refresh / 1000,
    prepull_timeout: (prepull?.timeout ?? 0) / 1000,
    recommended_tag: first?.tags.recommended ?? 'recommended',
    ...{ num_releases: wanted('release'), num_weeklies: wanted('weekly'), num_dailies: wanted('daily') },
    cycle: first?.tags.cycle ?? null,
    pin: [...(first?.tags.pinned ?? [])],
    alias_tags: [...(first?.tags.aliases ?? [])],
  };
}

function dockerSource(list: ImagesConfig['list'], source: ImageSourceConfig | undefined) {
  const parsed = parseImageReference(source?.repository ?? list[0]?.reference ?? '');
  return { type: 'docker' as const, registry: parsed?.registry ?? '', repository: parsed?.repository ?? '' };
}

function googleSource({ project, ...place }: NonNullable<ImageSourceConfig['artifactRegistry']>) {
  return { type: 'google' as const, ...place, project_id: project };
}

function nodeImage(
  { reference, digest, name, size }: WantedImage,
  { nodes, missing }: Warmth,
): z.infer<typeof NodeImage> {
  const tag = parseImageReference(reference)?.tag ?? '';
  return {
    reference: withoutDigest(reference),
    tag,
    name,
    digest,
    size,
    nodes: [...nodes],
    missing: [...missing],
  };
}

function imageNodes(view: PrepullView | undefined): z.infer<typeof ImageNodes> {
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    enabled: view !== undefined,
    known: view?.isKnown ?? false,
    images: (view?.wanted() ?? []).map(({ reference, name, digest, size }) => {
      const { nodes, missing, pullMs } = view?.of(digest) ?? COLD;
      const pullSeconds = pullMs === undefined ? null : pullMs / 1000;
      return { reference, name, digest, size, nodes: [...nodes], missing: [...missing], pull_seconds: pullSeconds };
    }),
    nodes: (view?.nodes() ?? []).map(({ name, eligible, comment, cached, pulling, failures }) => ({
      ...{ name, eligible, comment, cached: [...cached], pulling: [...pulling] },
      failures: failures.map(({ digest, reason, message, count, at, nextAt }) => ({
        ...{ digest: digest === '' ? null : digest, reason, message, count },
        ...{ at: iso(at), next_at: iso(nextAt) },
      })),
    })),
  };
}
