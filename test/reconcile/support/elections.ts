import type { Health } from '../../../src/reconcile/health.ts';
import type { LeaderElection, Term } from '../../../src/reconcile/leader.ts';
import { aborted } from '../../../src/util/sleep.ts';

/** Elections among the replicas of one test: the one that joined first leads, and the next one when it has gone. */
export class Elections {
  readonly #candidates: Candidate[] = [];

  join(): LeaderElection {
    const candidate = new Candidate(() => this.#elect());
    this.#candidates.push(candidate);
    return candidate;
  }

  /** The replica of this election is gone without a word. */
  kill(election: LeaderElection): void {
    const at = this.#candidates.indexOf(election as Candidate);
    const [killed] = this.#candidates.splice(at, 1);
    killed?.lost.abort();
    this.#elect();
  }

  #elect(): void {
    this.#candidates.find(({ isRunning }) => isRunning)?.elected.abort();
  }
}

class Candidate implements LeaderElection {
  isRunning = false;
  readonly elected = new AbortController();
  readonly lost = new AbortController();
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get isLeader(): boolean {
    return this.elected.signal.aborted && this.isRunning && !this.lost.signal.aborted;
  }

  health(): Health {
    return { component: 'leader', ready: true };
  }

  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    this.isRunning = true;
    this.#changed();
    await Promise.race([aborted(this.elected.signal), aborted(signal), aborted(this.lost.signal)]);
    if (this.isLeader && !signal.aborted) await lead({ lost: this.lost.signal, holds: () => this.isLeader });
    this.isRunning = false;
    this.#changed();
  }
}
