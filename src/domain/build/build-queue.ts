import type { ObservedBuild } from './build-intent.ts';

/** An admitted build: it takes a place until everything of it is cleaned up. */
export interface BuildSlot {
  readonly id: string;
  /** Of the Job: a build that is asked for anew after a failure has another. */
  readonly uid: string;
  readonly user: string;
  /** Canonical URL of the repository. */
  readonly repository: string;
  /** Where it runs. */
  readonly executor: string;
  /** When it was admitted; milliseconds since the epoch. */
  readonly at: number;
}

/** A build that waits to be admitted. */
export interface WaitingBuild extends Omit<BuildSlot, 'executor' | 'at'> {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

export interface QueueBounds {
  readonly running: number;
  readonly perUser: number;
  readonly perRepository: number;
}

/** An executor that can take builds now. */
export interface Place {
  readonly name: string;
  /** Builds at once there. */
  readonly capacity: number;
}

/**
 * The order in which builds are admitted: fair between users, then by age. A user's next build comes after the builds of
 * everybody who has fewer running and waiting before it, so that a hundred builds of one do not hold up the one of another.
 *
 * Admitting a build moves nobody back, with one exception: where a user's older build waits for its repository and a younger
 * one is let pass, the younger one counts from then on, and the older one comes after those of users who have fewer.
 */
export function fairOrder<Build extends WaitingBuild>(
  waiting: readonly Build[],
  slots: readonly Pick<BuildSlot, 'user'>[],
): Build[] {
  const taken = countBy(slots, ({ user }) => user);
  const ranked = waiting.toSorted(older).map((build) => {
    const rank = taken.get(build.user) ?? 0;
    taken.set(build.user, rank + 1);
    return { build, rank };
  });
  return ranked
    .sort((left, right) => left.rank - right.rank || older(left.build, right.build))
    .map(({ build }) => build);
}

/**
 * Which builds are admitted: as many as the bounds and the executors leave room for, in the fair order. A build that has to wait for
 * its user's or its repository's other builds lets those behind it pass.
 *
 * @param places in the order in which they are to be tried
 * @param now milliseconds since the epoch
 */
export function admit(
  waiting: readonly WaitingBuild[],
  slots: readonly BuildSlot[],
  bounds: QueueBounds,
  places: readonly Place[],
  now: number,
): BuildSlot[] {
  return admitInOrder(fairOrder(waiting, slots), slots, bounds, places, now);
}

/** As `admit`, of builds that are in their order already. */
export function admitInOrder(
  order: readonly WaitingBuild[],
  slots: readonly BuildSlot[],
  bounds: QueueBounds,
  places: readonly Place[],
  now: number,
): BuildSlot[] {
  const ofUser = countBy(slots, ({ user }) => user);
  const ofRepository = countBy(slots, ({ repository }) => repository);
  const onExecutor = countBy(slots, ({ executor }) => executor);
  const admitted: BuildSlot[] = [];
  for (const { id, uid, user, repository } of order) {
    if (slots.length + admitted.length >= bounds.running) break;
    if ((ofUser.get(user) ?? 0) >= bounds.perUser || (ofRepository.get(repository) ?? 0) >= bounds.perRepository)
      continue;
    const place = places.find(({ name, capacity }) => (onExecutor.get(name) ?? 0) < capacity);
    if (place === undefined) break;
    admitted.push({ id, uid, user, repository, executor: place.name, at: now });
    increment(ofUser, user);
    increment(ofRepository, repository);
    increment(onExecutor, place.name);
  }
  return admitted;
}

/** Whether it waits to be admitted, unless it has a slot already. */
export function isQueued({ suspended, result, cancel, terminating, finished }: ObservedBuild): boolean {
  return suspended && result === null && cancel === null && !terminating && finished === null;
}

export function waitingBuild({ spec, uid }: Pick<ObservedBuild, 'spec' | 'uid'>): WaitingBuild {
  const { id, requestedBy, repository, createdAt } = spec;
  return { id, uid, user: requestedBy, repository: repository.url, createdAt };
}

function older(left: WaitingBuild, right: WaitingBuild): number {
  return left.createdAt - right.createdAt || (left.id < right.id ? -1 : 1);
}

function countBy<Entry>(entries: readonly Entry[], key: (entry: Entry) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const entry of entries) increment(counts, key(entry));
  return counts;
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
