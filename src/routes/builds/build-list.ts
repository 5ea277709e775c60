import type { BuildState } from '../../domain/build/build.ts';

/** A part of a list of builds, and from where the next one goes on; null where there is none. */
export interface BuildPage {
  readonly builds: readonly BuildState[];
  readonly next: string | null;
}

/**
 * The newest builds, or those that follow `after`. A place in the list is a time and an id, so that builds which come and
 * go meanwhile move nothing.
 *
 * @param after `next` of the page before: `<createdAt>-<id>`
 */
export function pageOf(states: readonly BuildState[], limit: number, after?: string): BuildPage {
  const sorted = states.toSorted(newestFirst);
  const [time = '', id = ''] = after?.split('-') ?? [];
  const last = { spec: { createdAt: Number(time), id } };
  const rest = after === undefined ? sorted : sorted.filter((state) => newestFirst(last, state) < 0);
  const builds = rest.slice(0, limit);
  const spec = rest.length > limit ? builds.at(-1)?.spec : undefined;
  return { builds, next: spec === undefined ? null : `${String(spec.createdAt)}-${spec.id}` };
}

type Placed = { readonly spec: Pick<BuildState['spec'], 'createdAt' | 'id'> };

function newestFirst({ spec: one }: Placed, { spec: other }: Placed): number {
  return other.createdAt - one.createdAt || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}
