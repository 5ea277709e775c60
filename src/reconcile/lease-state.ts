import type { Lease } from '../storage/kubernetes/resources.ts';
import { isNewer } from '../storage/kubernetes/resource-version.ts';

export interface LeaseTimes {
  /** How long others wait after the last change they saw before they take the Lease, in milliseconds; whole seconds. */
  readonly leaseDurationMs: number;
  /** How long the leader goes on without a confirmed renewal, in milliseconds: less than the duration. */
  readonly renewDeadlineMs: number;
  /** Between two renewals, or two looks at the Lease of another, in milliseconds. */
  readonly retryPeriodMs: number;
}

export type LeaseSpec = NonNullable<Lease['spec']>;

/**
 * What one replica knows of the Lease, by its own monotonic clock alone: the clocks of two replicas are never compared.
 *
 * A holder counts its time from the *start* of the last renewal that was confirmed. Another replica counts from the moment it
 * *sees* that renewal, which is later, and waits longer. So a term has stopped holding before another one can begin, however
 * slow the network is and however long either process was stopped.
 */
export class LeaseState {
  readonly identity: string;
  readonly #times: LeaseTimes;
  #lease: Lease | undefined;
  #record: string | undefined;
  #changedAt = 0;
  #renewedAt: number | undefined;

  constructor(identity: string, times: LeaseTimes) {
    this.identity = identity;
    this.#times = times;
  }

  /** The Lease as it was last seen. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  get holder(): string {
    return this.#lease?.spec?.holderIdentity ?? '';
  }

  get transitions(): number {
    return this.#lease?.spec?.leaseTransitions ?? 0;
  }

  /** The Lease was read, watched or written. What is older than what was seen before changes nothing. */
  see(lease: Lease, now: number): void {
    const [version = '', known = ''] = [lease, this.#lease].map((each) => each?.metadata?.resourceVersion);
    if (known !== '' && isNewer(known, version)) return;
    const record = JSON.stringify(lease.spec ?? {});
    if (record !== this.#record) this.#changedAt = now;
    this.#record = record;
    this.#lease = lease;
  }

  /** There is no Lease. Whoever held it may not know yet: the time that was counted goes on. */
  miss(): void {
    if (this.#lease !== undefined) this.#lease = { metadata: {}, spec: this.#lease.spec ?? {} };
  }

  /** Milliseconds until this replica may take the Lease; 0 when it may now. */
  takeableIn(now: number): number {
    if (this.holder === '' || this.holder === this.identity) return 0;
    const seconds = this.#lease?.spec?.leaseDurationSeconds;
    const durationMs = seconds === undefined ? this.#times.leaseDurationMs : seconds * 1000;
    return Math.max(0, this.#changedAt + durationMs - now);
  }

  /** What is written to hold the Lease, or to go on holding it. @param wallClock for people: no replica compares it */
  toHold(wallClock: number): LeaseSpec {
    const now = microTime(wallClock);
    const isOwn = this.holder === this.identity;
    return {
      holderIdentity: this.identity,
      leaseDurationSeconds: Math.ceil(this.#times.leaseDurationMs / 1000),
      acquireTime: isOwn ? (this.#lease?.spec?.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: this.#record === undefined || isOwn ? this.transitions : this.transitions + 1,
    };
  }

  /** A term begins: a write that names this replica was confirmed. @param startedAt when that write was begun */
  begin(startedAt: number): void {
    this.#renewedAt = startedAt;
  }

  /**
   * A renewal was confirmed.
   *
   * @param startedAt when it was begun
   * @returns false when the term had stopped holding meanwhile, and is over
   */
  renew(startedAt: number, now: number): boolean {
    if (!this.holds(now)) return false;
    this.#renewedAt = startedAt;
    return true;
  }

  /** The term is over, whatever the Lease says. */
  end(): void {
    this.#renewedAt = undefined;
  }

  /** Milliseconds for which the term holds without another renewal; 0 when it does not hold. */
  holdsFor(now: number): number {
    return this.#renewedAt === undefined ? 0 : Math.max(0, this.#renewedAt + this.#times.renewDeadlineMs - now);
  }

  holds(now: number): boolean {
    return this.holdsFor(now) > 0;
  }
}

/** RFC 3339 with six digits after the second: the API server takes no other number of them. */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000Z');
}
