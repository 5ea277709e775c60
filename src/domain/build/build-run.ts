import {
  deletedExternally,
  findEnd,
  findTrouble,
  type Finding,
  type PodSubject,
  type Reason,
  type Trouble,
} from '../lab/reasons.ts';
import type { PodFacts } from '../lab/pod.ts';

/** The container in which repo2docker runs, in every pod that Labwright makes for a build. */
export const BUILD_CONTAINER = 'builder';

export const BUILD_SUBJECT: PodSubject = {
  noun: 'build',
  container: BUILD_CONTAINER,
  image: 'configured',
  moreMemory: ' An administrator can give builds more.',
};

/** By SIGKILL or SIGTERM. */
const KILLED: ReadonlySet<number> = new Set([137, 143]);

/** How far that which runs a build has come: it waits for a place, is being prepared there, runs, or has ended. */
export type RunStage = 'waiting' | 'preparing' | 'running' | 'ended';

/** What is known of that which runs a build. */
export interface RunFacts {
  readonly stage: RunStage;
  /** What keeps it from running, if anything is known. */
  readonly trouble: Trouble | null;
  /** There once it has ended: null when it did what it should. */
  readonly end: Finding | null;
  /** Whether a container has ever run, so that there may be a log. */
  readonly hasLog: boolean;
  readonly node: string | null;
  /** Milliseconds since the epoch; when the container began and ended. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
}

/** What the pod of a build says about it. */
export interface PodRun extends RunFacts {
  /** Whether containers beside that of the build still run. */
  readonly othersRun: boolean;
}

/**
 * What a pod says about the build that runs in it. A container of the build that has ended is the end of the build, whatever
 * runs beside it.
 */
export function runOfPod(pod: PodFacts): PodRun {
  const builder = pod.containers.find(({ name, init }) => name === BUILD_CONTAINER && !init);
  const terminated = builder?.terminated ?? null;
  const isOver = terminated !== null || pod.terminating || pod.phase === 'Succeeded' || pod.phase === 'Failed';
  const shared = {
    node: pod.node,
    hasLog: terminated !== null || (builder?.runningSince ?? null) !== null,
    startedAt: builder?.runningSince ?? null,
    endedAt: terminated?.finishedAt ?? null,
    othersRun: pod.containers.some(
      ({ init, name, runningSince }) => !init && name !== BUILD_CONTAINER && runningSince !== null,
    ),
  };
  if (isOver) return { ...shared, stage: 'ended', trouble: null, end: endOf(pod, terminated?.exitCode) };
  if (shared.startedAt !== null) return { ...shared, stage: 'running', trouble: null, end: null };
  const stage = pod.node === null ? 'waiting' : 'preparing';
  return { ...shared, stage, trouble: troubleOf(pod), end: null };
}

/** The images in the pod of a build are those that the site has configured: whoever asked for the build cannot choose others. */
const OF_IMAGES: ReadonlySet<Reason> = new Set(['ImageNotFound', 'ImagePullError', 'InvalidImageName']);

function troubleOf(pod: PodFacts): Trouble | null {
  const trouble = findTrouble(pod, BUILD_SUBJECT) ?? null;
  if (trouble === null || !OF_IMAGES.has(trouble.reason)) return trouble;
  const isLasting = trouble.reason !== 'ImagePullError';
  const why = isLasting
    ? 'it does not exist, or the cluster may not read it. Tell an administrator.'
    : 'its registry does not give it at the moment.';
  return {
    ...trouble,
    reason: 'BuilderImageUnavailable',
    message: `The image that builds run in cannot be fetched: ${why}`,
  };
}

/** Null when it has done what it should. */
function endOf(pod: PodFacts, exitCode: number | undefined): Finding | null {
  if (exitCode === 0) return null;
  // While a sidecar still runs the pod itself has not failed yet; what its build says counts.
  const end = findEnd(exitCode === undefined ? pod : { ...pod, phase: 'Failed' }, BUILD_SUBJECT);
  if (end?.reason === 'Exited') return null;
  if (end?.reason !== 'Error') return end ?? null;
  // It was killed because its pod is being deleted, and did not fail by itself.
  const isKilled = pod.terminating && exitCode !== undefined && KILLED.has(exitCode);
  return isKilled ? deletedExternally(BUILD_SUBJECT) : { ...end, reason: 'BuildFailed' };
}
