import type { Readable } from 'node:stream';
import type { BuildSecrets } from '../../../domain/build/build-secrets.ts';
import type { BuildSpec } from '../../../domain/build/build.ts';
import type { RunFacts } from '../../../domain/build/build-run.ts';
import type { LogPosition } from '../../../storage/kubernetes/log/container-log.ts';
import type { Controller } from '../../controller.ts';

export type { BuildSecrets } from '../../../domain/build/build-secrets.ts';
export type { LogPosition } from '../../../storage/kubernetes/log/container-log.ts';

/** How that which runs one build stands, as its executor has last heard. */
export interface ObservedRun extends RunFacts {
  readonly id: string;
  /** When the build that it runs was asked for, as its specification says: one that is asked for anew is another. */
  readonly createdAt: number;
}

/** It cannot start this build, for a reason that lies with the executor and not with the build: another may. */
export class ExecutorUnavailable extends Error {
  override readonly name = 'ExecutorUnavailable';
}

/**
 * One attempt at a build: a build that is asked for anew after a failure has the same id, and another time. A build's
 * specification is one, and so is an observed run.
 */
export type Attempt = Pick<BuildSpec, 'id' | 'createdAt'>;

/**
 * A place where builds run: this cluster, another one, a Docker-compatible engine. What it runs is named by the build's id
 * and labelled, so that after a restart it is found again. All of it can be called again and again.
 */
export interface BuildExecutor {
  /** Unique; from the configuration. */
  readonly name: string;
  /** Whether its first complete cache is there: what it does not tell of is not there. As `isReady` when absent. */
  readonly isKnown?: boolean;
  /** Whether that is so, and builds can be started. */
  readonly isReady: boolean;
  /** What it waits for to be ready, as half a sentence; absent where nothing more is known. */
  readonly waitsFor?: string | undefined;
  /** It runs the Jobs that are the intents; any other has something of its own. */
  readonly isLocal?: boolean;
  /** Most builds at once; Infinity where only the queue's own bound counts. */
  readonly capacity: number;
  /** Controllers that it needs, to be run with all others. */
  readonly controllers?: readonly Controller[];
  /** Follows what runs there until `signal` aborts. Never rejects; an outage is reported by `lastError`. */
  run(signal: AbortSignal): Promise<void>;
  /** Why its cache is not there or not fresh; undefined while all is well. */
  readonly lastError: Error | undefined;
  /** Everything of ours that is there. */
  runs(): Iterable<ObservedRun>;
  observe(id: string): ObservedRun | undefined;
  /** Asks for what runs this build anew, where one part of the cache may be behind another. */
  lookAgain?(id: string): Promise<void>;
  /**
   * When a start that was going on beside `start` last succeeded, by the monotonic clock; -Infinity before the first. Absent
   * where `start` itself is all there is to do.
   */
  readonly lastStartAt?: number;
  /**
   * Accepts the build for a start, or finds that it has been started. When it resolves, `observe` will tell of it sooner or
   * later. Where starting takes long it goes on beside, observed as `preparing`, until `stop`; what it fails with is thrown by
   * the next call for this attempt.
   *
   * @throws {ExecutorUnavailable} it cannot start builds at the moment, or not this one
   * @throws {BuildProblem} no executor could start this build
   */
  start(spec: BuildSpec, secrets: BuildSecrets): Promise<void>;
  /**
   * Ends and removes what runs this attempt, at once, with everything secret, also a start that goes on. What belongs to any
   * other attempt at the same build is left alone. Resolves when it has been told to.
   */
  stop(attempt: Attempt): Promise<void>;
  /**
   * The log's bytes, each line led by its time (`2026-01-01T00:00:00.000000000Z text\n`), stdout and stderr together.
   *
   * @throws when it cannot be had at the moment
   */
  openLog(id: string, position: LogPosition, signal: AbortSignal): Promise<Readable>;
}

/** What runs this very build there, and not one before it. */
export function runOf(executor: BuildExecutor | undefined, { id, createdAt }: Attempt): ObservedRun | undefined {
  const run = executor?.observe(id);
  return run?.createdAt === createdAt ? run : undefined;
}
