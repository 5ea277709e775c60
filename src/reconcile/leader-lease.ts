import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated, KubeError } from '../storage/kubernetes/kube-error.ts';
import { Reflector } from '../storage/kubernetes/reflector.ts';
import { type Lease, Leases } from '../storage/kubernetes/resources.ts';
import { jittered } from '../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../util/clock.ts';
import { withDeadline } from '../util/deadline.ts';
import { sleep } from '../util/sleep.ts';
import type { Health } from './health.ts';
import type { LeaderElection, Term } from './leader.ts';
import { LeaseState, type LeaseTimes, microTime } from './lease-state.ts';

export const LEASE_NAME = 'labwright-leader';

export interface LeaseElectionOptions extends LeaseTimes {
  /** A client of its own: a renewal must not wait for its turn behind the calls of a thousand spawns. */
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly namespace: string;
  /** The name of the pod, for people; a random part is added, so that no two processes have the same identity. */
  readonly podName: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** How long giving the Lease back may take, in milliseconds; whoever waits for it takes it later otherwise. */
const RELEASE_MS = 2_000;

/**
 * Leadership by a Lease of coordination.k8s.io, with the algorithm of client-go's `leaderelection`.
 *
 * | state | begins | may write | ends |
 * |---|---|---|---|
 * | following | at the start, and after a term | nothing but the Lease, once it is nobody's or has not changed for its duration | the API server has confirmed that write |
 * | leading | with that confirmation | everything, while the term holds | the renewal was not confirmed for `renewDeadline`, or the Lease is another's: lost; or the stop |
 * | lost | see above | nothing | what was led has ended |
 * | stopping | with the signal | as leading, until what was led has ended | the Lease names nobody, and whoever watches it takes it |
 *
 * Every write has the version that was seen as a precondition, so that of two who try at once one succeeds. Dying in any state
 * leaves a Lease that others take when its duration has passed; a process that was stopped for longer than that finds its term
 * over by its own clock, before it has asked anybody. LeaseState says why two terms never hold at the same time.
 *
 * Others learn of a change by a watch on this one Lease, and by looking at it every `retryPeriod` where the watch fails.
 */
export class LeaseElection implements LeaderElection {
  readonly identity: string;
  readonly #options: LeaseElectionOptions;
  readonly #state: LeaseState;
  readonly #clock: Clock;
  readonly #ref: { readonly namespace: string; readonly name: string };
  #isLeader = false;
  #problem: string | undefined;
  #wake = new AbortController();

  constructor(options: LeaseElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.identity = `${options.podName}_${randomBytes(6).toString('hex')}`;
    this.#state = new LeaseState(this.identity, options);
    this.#ref = { namespace: options.namespace, name: LEASE_NAME };
  }

  get isLeader(): boolean {
    return this.#isLeader && this.#state.holds(this.#clock.monotonic());
  }

  /** How often leadership went from one holder to another, as the Lease counts it. */
  get transitions(): number {
    return this.#state.transitions;
  }

  /** Never unready: reads are answered without a leader too, and a replica that leaves the Service helps nobody. */
  health(): Health {
    return { component: 'leader', ready: true, message: this.#problem };
  }

  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    const watching = new AbortController();
    const watch = this.#watch(watching.signal);
    while (!signal.aborted) {
      const startedAt = await this.#acquire(signal);
      if (startedAt !== undefined) await this.#serve(startedAt, signal, lead);
      else await this.#pause(Math.min(this.#retryMs(), this.#takeableIn() || Infinity), signal);
    }
    watching.abort();
    await watch;
  }

  /** @returns when the write was begun that took the Lease, or undefined when it is another's */
  async #acquire(signal: AbortSignal): Promise<number | undefined> {
    try {
      await this.#look(signal);
      if (this.#takeableIn() > 0) return undefined;
      const startedAt = this.#clock.monotonic();
      await this.#hold(signal);
      return startedAt;
    } catch (error) {
      const isGone = isKubeError(error, 404) && this.#state.lease?.metadata?.uid !== undefined;
      const wasFaster = isOutdated(error) && !isKubeError(error, 404);
      if (!signal.aborted && !isGone && !wasFaster) this.#complain(error);
      return undefined;
    }
  }

  /** One term, from its first confirmed write to the end of what was led. */
  async #serve(startedAt: number, signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    const { logger } = this.#options;
    const lost = new AbortController();
    const ended = new AbortController();
    this.#state.begin(startedAt);
    this.#isLeader = true;
    const { identity, transitions } = this;
    logger.info({ identity, transitions }, 'this replica is the leader now');
    const holds = () => !lost.signal.aborted && !ended.signal.aborted && this.#state.holds(this.#clock.monotonic());
    const led = lead({ lost: lost.signal, holds })
      .catch((err: unknown) => logger.error({ err }, 'what the leader runs has failed'))
      .finally(() => ended.abort());
    const reason = await this.#renewUntil(ended.signal);
    this.#isLeader = false;
    if (reason !== undefined) {
      this.#state.end();
      lost.abort(new DOMException(reason, 'AbortError'));
      logger.warn({ identity, reason }, 'leadership lost');
    }
    await led;
    if (reason === undefined) await this.#release();
    // A term that ended by itself is not begun again at once.
    await sleep(this.#retryMs(), signal);
  }

  /** @returns why leadership was lost, or undefined when what was led has ended while the term held */
  async #renewUntil(ended: AbortSignal): Promise<string | undefined> {
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let reason: string | undefined;
    const lose = (why: string) => {
      reason ??= why;
      over.abort();
    };
    const late = `the API server has not confirmed the lease for ${this.#options.renewDeadlineMs} ms`;
    const arm = () => {
      clearTimeout(timer);
      timer = setTimeout(() => lose(late), this.#state.holdsFor(this.#clock.monotonic()));
    };
    arm();
    const signal = AbortSignal.any([ended, over.signal]);
    for (;;) {
      await this.#pause(this.#retryMs(), signal);
      if (signal.aborted) break;
      const startedAt = this.#clock.monotonic();
      // Before it asks: a process that was stopped past its term does not extend it.
      if (!this.#state.holds(startedAt)) lose(late);
      else {
        const outcome = await this.#renew(signal);
        if (outcome === 'taken') lose(`the lease is held by ${this.#state.holder || 'nobody'}`);
        else if (outcome === 'held' && !this.#state.renew(startedAt, this.#clock.monotonic())) lose(late);
        else arm();
      }
    }
    clearTimeout(timer);
    return reason;
  }

  async #renew(signal: AbortSignal): Promise<'held' | 'taken' | 'unknown'> {
    const isOurs = () => this.#state.holder === this.identity;
    try {
      // The watch may have brought it already.
      if (!isOurs()) return 'taken';
      try {
        await this.#hold(signal);
      } catch (error) {
        if (!isOutdated(error)) throw error;
        // Somebody took it, removed it or wrote something beside; or the answer to our own write was lost.
        await this.#look(signal);
        if (!isOurs()) return 'taken';
        await this.#hold(signal);
      }
      return 'held';
    } catch (error) {
      if (!signal.aborted) this.#complain(error);
      return 'unknown';
    }
  }

  /** So that another replica leads at once. What fails here costs the others the duration of the Lease. */
  async #release(): Promise<void> {
    this.#state.end();
    const { logger } = this.#options;
    const released = { holderIdentity: '', renewTime: microTime(this.#clock.now()) };
    const giveBack = async (signal: AbortSignal) => {
      await this.#patch(released, signal).catch(async (error: unknown) => {
        if (!isOutdated(error)) throw error;
        await this.#look(signal);
        if (this.#state.holder === this.identity) await this.#patch(released, signal);
      });
    };
    try {
      await withDeadline({ ms: RELEASE_MS }, giveBack);
      logger.info({ identity: this.identity }, 'leadership released');
    } catch (err) {
      logger.warn({ err }, 'leadership could not be released; another replica leads when the lease has expired');
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const lease = await this.#options.client.get(Leases, this.#ref, this.#call(signal));
    // An API server that knows no Leases answers the same: whether all is well is seen when one is made.
    if (lease === undefined) return this.#state.miss();
    this.#state.see(lease, this.#clock.monotonic());
    this.#problem = undefined;
  }

  async #hold(signal: AbortSignal): Promise<void> {
    const spec = this.#state.toHold(this.#clock.now());
    if (this.#state.lease?.metadata?.uid !== undefined) return this.#patch(spec, signal);
    const { client } = this.#options;
    const made = await client.create(Leases, { metadata: this.#ref, spec }, this.#call(signal));
    this.#state.see(made, this.#clock.monotonic());
    this.#problem = undefined;
  }

  async #patch(spec: object, signal: AbortSignal): Promise<void> {
    const { uid, resourceVersion } = this.#state.lease?.metadata ?? {};
    const patch = { metadata: { uid, resourceVersion }, spec };
    const lease = await this.#options.client.patch(Leases, this.#ref, patch, this.#call(signal));
    this.#state.see(lease, this.#clock.monotonic());
    this.#problem = undefined;
  }

  /** Two calls that are not answered fit into the deadline. */
  #call(signal: AbortSignal) {
    return { signal, timeoutMs: this.#options.renewDeadlineMs / 2 };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, namespace, logger } = this.#options;
    const { name } = this.#ref;
    const reflector = new Reflector<Lease, { uid: string; resourceVersion: string; lease: Lease }>({
      client,
      resource: Leases,
      select: { namespace, fieldSelector: `metadata.name=${name}` },
      project: (lease) => {
        const { uid = '', resourceVersion = '' } = lease.metadata ?? {};
        return { uid, resourceVersion, lease };
      },
      onChange: (_key, current) => {
        if (current === undefined) this.#state.miss();
        else this.#state.see(current.lease, this.#clock.monotonic());
        const isOwn = this.#state.holder === this.identity && current !== undefined;
        if (isOwn || (!this.#isLeader && current !== undefined && this.#takeableIn() > 0)) return;
        this.#wake.abort();
      },
      logger,
    });
    await reflector.run(signal);
  }

  #takeableIn(): number {
    return this.#state.takeableIn(this.#clock.monotonic());
  }

  #retryMs(): number {
    return jittered(this.#options.retryPeriodMs);
  }

  /** Until the time has passed, the signal aborts, or the watch has brought something to act upon. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await sleep(ms, AbortSignal.any([signal, this.#wake.signal]));
    if (this.#wake.signal.aborted) this.#wake = new AbortController();
  }

  /** Once for each thing that is wrong, and not once for each attempt. */
  #complain(err: unknown): void {
    const sentence = explain(err, this.#ref);
    if (sentence === this.#problem) return;
    this.#problem = sentence;
    this.#options.logger.warn({ err }, sentence);
  }
}

function explain(error: unknown, { namespace, name }: { namespace: string; name: string }): string {
  const lease = `the Lease ${name} in the namespace ${namespace}`;
  if (!(error instanceof KubeError)) return `The leader cannot be decided: ${lease} cannot be read.`;
  if (error.status === 403) {
    return `The leader cannot be decided: the controller may not use ${lease}; see leases in deploy/kubernetes/rbac.yaml.`;
  }
  if (error.status === 404) {
    const isNamespace = error.details?.kind === 'namespaces';
    return isNamespace
      ? `The leader cannot be decided: the namespace ${namespace} does not exist.`
      : 'The leader cannot be decided: the API server does not serve Leases (coordination.k8s.io/v1).';
  }
  return `The leader cannot be decided: ${lease} cannot be read or written (${error.reason}).`;
}
