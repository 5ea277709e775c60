import type { Health } from './health.ts';

/** One term of a leader. */
export interface Term {
  /** Aborts when leadership is lost. */
  readonly lost: AbortSignal;
  /** Whether the lease holds at this very moment, by the monotonic clock: a process that was paused asks before it writes. */
  readonly holds: () => boolean;
}

/** Decides which replica reconciles. */
export interface LeaderElection {
  health(): Health;
  readonly isLeader: boolean;
  /**
   * Takes part until `signal` aborts. For each term it calls `lead`, which has to end soon after the term is lost or `signal`
   * has aborted; then the lease is given up. Never rejects.
   */
  run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void>;
}

/** For a process that is alone: it always leads. */
export class AlwaysLeader implements LeaderElection {
  readonly isLeader = true;

  health(): Health {
    return { component: 'leader', ready: true };
  }

  async run(_signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    await lead({ lost: new AbortController().signal, holds: () => true });
  }
}
