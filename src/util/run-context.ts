import { AsyncLocalStorage } from 'node:async_hooks';

/** What the calls that are made in one run of a controller share. */
export interface RunContext {
  /** Short and random: the same in every log line and call of the run. */
  readonly id: string;
  /** Aborts when the program stops, the run's time is over or leadership is lost. */
  readonly signal: AbortSignal;
  /** Whether the run may still write: false once another replica may have become the leader. */
  readonly mayWrite: () => boolean;
}

/**
 * The run that the current code belongs to, if any. The Kubernetes client reads it: so every call of a run ends with the run,
 * and no write leaves a replica whose lease is over, without each call site having to say so.
 */
export const runContext = new AsyncLocalStorage<RunContext>();
