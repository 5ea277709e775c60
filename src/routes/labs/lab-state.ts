import { z } from '@hono/zod-openapi';
import type { ChosenProfile, LabState as DomainLabState } from '../../domain/lab/lab.ts';
import type { Staleness } from '../../reconcile/health.ts';
import { Stale, staleBody } from '../server/staleness.ts';

const ResourceQuantity = z
  .object({ cpu: z.number().meta({ description: 'Cores.' }), memory: z.int().meta({ description: 'Bytes.' }) })
  .meta({ id: 'ResourceQuantity' });

const Time = z.string().nullable();

const User = z
  .object({
    username: z.string(),
    name: z.string().nullable(),
    uid: z.int(),
    gid: z.int(),
    groups: z.array(z.object({ name: z.string(), id: z.int() })),
  })
  .meta({ id: 'User' });

/** A lab as Nublado describes one: what the hub plugin reads. */
export const LabState = z
  .object({
    user: User,
    options: z.object({
      size: z.string(),
      enable_debug: z.boolean(),
      reset_user_env: z.boolean(),
      image: z.string().meta({ description: 'The image as it runs.' }),
    }),
    status: z.enum(['pending', 'running', 'terminating', 'terminated', 'failed']),
    internal_url: z.string().nullable().meta({ description: 'Where hub and proxy reach the lab, once that is known.' }),
    resources: z.object({ limits: ResourceQuantity, requests: ResourceQuantity }),
    quota: z.union([ResourceQuantity, z.null()]),
  })
  .meta({ id: 'LabState' });
export type LabState = z.output<typeof LabState>;

/** A lab with everything that is known of it; `?detail=true`. Times are RFC 3339. */
export const DetailedLabState = LabState.extend({
  servername: z.string().meta({ description: 'Empty for the default server.' }),
  namespace: z.string().meta({ description: 'Where its objects are.' }),
  phase: z.string().meta({ description: 'Where the operation stands.', example: 'pulling' }),
  reason: z
    .string()
    .nullable()
    .meta({ description: 'Word for what is wrong or waited for.', example: 'ImagePullBackOff' }),
  message: z.string().nullable().meta({ description: 'One sentence that goes with the reason.' }),
  profile: z
    .object({
      name: z.string(),
      options: z.record(z.string(), z.string()).meta({ description: 'What was chosen or written in, by option.' }),
    })
    .nullable()
    .meta({ description: 'The profile that was asked for.' }),
  image_name: z.string(),
  image_digest: z.string().nullable(),
  extended_resources: z.record(z.string(), z.string()),
  node: z.string().nullable(),
  restarts: z.int(),
  created_at: z.string(),
  deadline: z.string().meta({ description: 'A lab that does not run by then has failed.' }),
  started_at: Time,
  finished_at: Time,
  stale: Stale.nullable().meta({
    description: 'There when the cluster cannot be followed: then this is what was known so long ago.',
  }),
}).meta({ id: 'DetailedLabState' });
export type DetailedLabState = z.output<typeof DetailedLabState>;

/** The state in Nublado's words; the order of the keys is that of its answers. */
export function labState({ spec, status, internalUrl }: DomainLabState): LabState {
  const { user, options, resources, quota } = spec;
  return {
    user: {
      username: user.username,
      name: user.name,
      uid: user.uid,
      gid: user.gid,
      groups: user.groups.map(({ name, id }) => ({ name, id })),
    },
    options: {
      size: options.size,
      enable_debug: options.enable_debug,
      reset_user_env: options.reset_user_env,
      image: options.image,
    },
    status,
    internal_url: internalUrl,
    resources: { limits: quantity(resources.limits), requests: quantity(resources.requests) },
    quota: quota === null ? null : quantity(quota),
  };
}

export function detailedLabState(state: DomainLabState, stale?: Staleness): DetailedLabState {
  const { spec } = state;
  return {
    ...labState(state),
    servername: spec.servername,
    namespace: spec.namespace,
    phase: state.phase,
    reason: state.reason,
    message: state.message,
    profile: spec.profile === undefined ? null : profileOf(spec.profile),
    image_name: spec.image.name,
    image_digest: state.imageDigest,
    extended_resources: { ...spec.extendedResources },
    node: state.node,
    restarts: state.restarts,
    created_at: time(spec.createdAt),
    deadline: time(spec.deadline),
    started_at: state.startedAt === null ? null : time(state.startedAt),
    finished_at: state.finishedAt === null ? null : time(state.finishedAt),
    stale: stale === undefined ? null : staleBody(stale),
  };
}

function profileOf({ name, options }: ChosenProfile): DetailedLabState['profile'] {
  const chosen = Object.entries(options).map(([option, choice]) => [option, Object.values(choice).join('')] as const);
  return { name, options: Object.fromEntries(chosen) };
}

function quantity({ cpu, memory }: { readonly cpu: number; readonly memory: number }) {
  return { cpu, memory };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
