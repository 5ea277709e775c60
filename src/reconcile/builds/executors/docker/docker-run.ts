import {
  labelledSpec,
  OUT_OF_MEMORY_EXIT,
  TIMEOUT_EXIT,
  WRAPPER_EXIT,
} from '../../../../builder/build/build-container.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import type { Finding } from '../../../../domain/lab/reasons.ts';
import type { ContainerFacts } from '../../../../storage/docker-engine/container-facts.ts';
import type { ObservedRun } from '../executor.ts';

const SIGNAL = 128;
const SIGKILL = 9;
const SIGTERM = 15;
/** What Docker says of a container that it no longer found when it came back itself. */
const LOST_EXIT = 255;
/** A shell's: the command is not executable, or not there. */
const NOT_EXECUTABLE = 126;
const NO_COMMAND = 127;
/** How far the two times of a container may be off. */
const CLOCK_MS = 500;

/** A build of which nothing runs yet: its container is made, or its image fetched. */
export function preparingRun({ id, createdAt }: Pick<BuildSpec, 'id' | 'createdAt'>, node: string): ObservedRun {
  const none = { trouble: null, end: null, hasLog: false, startedAt: null, endedAt: null };
  return { id, createdAt, stage: 'preparing', node, ...none };
}

/**
 * What a container that was started says of its build.
 *
 * @param node name of the executor
 * @param totalMs how long a build may take
 */
export function observeContainer(id: string, facts: ContainerFacts, node: string, totalMs: number): ObservedRun {
  const { startedAt, finishedAt } = facts;
  const ended = facts.status === 'ended';
  return {
    id,
    createdAt: labelledSpec(facts.labels)?.createdAt ?? 0,
    stage: ended ? 'ended' : 'running',
    trouble: null,
    end: ended ? findEnd(facts, totalMs) : null,
    hasLog: true,
    node,
    startedAt,
    // Podman takes the end from a clock that ticks more coarsely than that of the start.
    endedAt: ended && finishedAt !== null ? Math.max(finishedAt, startedAt ?? 0) : null,
  };
}

/** A build whose container somebody else has removed. */
export function vanishedRun(before: ObservedRun): ObservedRun {
  // What had ended has ended as it did.
  if (before.stage === 'ended') return { ...before, hasLog: false };
  const message = 'The build was stopped from outside: its container was removed.';
  return { ...before, stage: 'ended', trouble: null, end: { reason: 'DeletedExternally', message }, hasLog: false };
}

/** Why a container has ended; null when it did what it should. */
function findEnd({ exitCode, oomKilled, startedAt, finishedAt }: ContainerFacts, totalMs: number): Finding | null {
  if (exitCode === 0) return null;
  if (oomKilled || exitCode === OUT_OF_MEMORY_EXIT) {
    return { reason: 'OOMKilled', message: 'The build used more memory than it may have and was ended.' };
  }
  const killed = exitCode === SIGNAL + SIGKILL;
  const tookMs = startedAt === null || finishedAt === null ? 0 : finishedAt - startedAt;
  // `timeout` kills what does not end when asked, and says so with the code of the signal.
  if ((exitCode === TIMEOUT_EXIT || killed) && tookMs >= totalMs - CLOCK_MS) {
    return { reason: 'DeadlineExceeded', message: 'The build took longer than it may.' };
  }
  if (killed || exitCode === SIGNAL + SIGTERM) {
    return { reason: 'DeletedExternally', message: 'The build was stopped from outside: its container was ended.' };
  }
  switch (exitCode) {
    case LOST_EXIT:
      return { reason: 'NodeLost', message: 'The machine or the engine that the build ran on was restarted.' };
    case WRAPPER_EXIT:
    case NOT_EXECUTABLE:
    case NO_COMMAND:
      return {
        reason: 'ContainerCreateError',
        message: 'The builder cannot be started: its image does not have it, or cannot run it.',
      };
    default:
      return { reason: 'BuildFailed', message: `The build ended with exit code ${exitCode}.` };
  }
}
