import { z } from '@hono/zod-openapi';
import {
  type BuildPhase,
  type BuildState as DomainBuildState,
  noticeOf,
  type ResolvedRepository,
} from '../../domain/build/build.ts';
import { parseImageReference } from '../../domain/image/image-reference.ts';

export const BUILD_PHASES = [
  ...['queued', 'starting', 'scheduling', 'pulling', 'fetching', 'building', 'pushing', 'confirming'],
  ...['ready', 'failed', 'cancelled'],
] as const satisfies readonly BuildPhase[];

const Time = z.string().nullable();

/** A build with everything that is known of it. Times are RFC 3339. */
export const BuildState = z
  .object({
    id: z.string().meta({ description: 'The same for the same repository, commit, path and way of building.' }),
    repository: z.string().meta({ description: 'In canonical form.' }),
    provider: z.enum(['gh', 'gl', 'git', 'gist', 'zenodo']),
    ref: z.string().meta({ description: 'As it was asked for.', example: 'main' }),
    commit: z.string().meta({ description: 'What the ref was then; for a DOI, the version.' }),
    notice: z.string().nullable().meta({ description: 'What is built instead of the ref, where it is not that.' }),
    path: z.string().meta({ description: 'Directory in the repository; empty for the whole.' }),
    phase: z.enum(BUILD_PHASES).meta({ description: 'The last three are terminal.' }),
    reason: z
      .string()
      .nullable()
      .meta({ description: 'Word for what is wrong or waited for.', example: 'BuildFailed' }),
    message: z.string().nullable().meta({ description: 'One sentence that goes with the reason.' }),
    position: z.int().nullable().meta({ description: 'Place in the queue, from 1, while it waits in it.' }),
    image: z.string().meta({ description: 'Name of the image with its tag, whether it is there yet or not.' }),
    image_reference: z
      .string()
      .nullable()
      .meta({ description: 'The image by its digest, as the registry has confirmed it: what to start a lab from.' }),
    image_digest: z.string().nullable(),
    cached: z.boolean().meta({ description: 'The registry had the image: nothing was built.' }),
    requested_by: z.string().nullable().meta({ description: 'Who asked first; null where that is another user.' }),
    detached: z.boolean().meta({ description: 'It goes on if nobody waits for it.' }),
    executor: z.string().nullable(),
    node: z.string().nullable(),
    created_at: z.string(),
    started_at: Time,
    finished_at: Time,
  })
  .meta({ id: 'BuildState' });
export type BuildState = z.output<typeof BuildState>;

/**
 * @param sees whether the reader may know of this user that they asked for the build
 * @param asked the repository as the reader has named it; absent where it is as who asked first has named it
 */
export function buildState(
  state: DomainBuildState,
  sees: (username: string) => boolean,
  asked: ResolvedRepository = state.spec.repository,
): BuildState {
  const { spec } = state;
  return {
    id: spec.id,
    repository: spec.repository.url,
    provider: spec.repository.provider,
    ref: spec.repository.ref,
    commit: spec.repository.commit,
    notice: noticeOf(asked) ?? null,
    path: spec.path,
    phase: state.phase,
    reason: state.reason,
    message: state.message,
    position: state.position,
    image: spec.image,
    image_reference: state.image,
    image_digest: digestOf(state.image),
    cached: state.cached,
    requested_by: sees(spec.requestedBy) ? spec.requestedBy : null,
    detached: spec.detached,
    executor: state.executor,
    node: state.node,
    created_at: time(spec.createdAt),
    started_at: state.startedAt === null ? null : time(state.startedAt),
    finished_at: state.finishedAt === null ? null : time(state.finishedAt),
  };
}

/** `sha256:…` of an image that is named by it. */
export function digestOf(reference: string | null): string | null {
  return reference === null ? null : (parseImageReference(reference)?.digest ?? null);
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
