import type { Logger } from 'pino';
import { aborted, sleep } from '../util/sleep.ts';
import type { Controller, Session } from './controller.ts';
import type { Cache, Component, Health } from './health.ts';
import { AlwaysLeader, type LeaderElection, type Term } from './leader.ts';

export interface ManagerOptions {
  readonly logger: Logger;
  /** Who decides which replica reconciles; without one, this process always does. */
  readonly election?: LeaderElection;
  /** Called once when a part has ended by itself, which none may: the program has to stop, and to be started again. */
  readonly onFailure?: (name: string, error: unknown) => void;
}

export interface StopOptions {
  /** The longest that stopping may take, in milliseconds: below the grace period of the pod. */
  readonly graceMs?: number;
  /** Resolves when nobody outside is served any more. Caches and what serves readers go on until then. */
  readonly served?: Promise<void>;
}

/** How long stopping may take if nothing else is said, in milliseconds. */
export const GRACE_MS = 25_000;
/** How often caches are asked whether they follow the cluster, in milliseconds. */
const FRESHNESS_MS = 1_000;
/** Leadership is handed over within this time, whoever is still being served, in milliseconds. */
const HANDOVER_MS = 500;

/**
 * Runs everything that works beside HTTP: caches, controllers, and other components.
 *
 * | moment | what happens |
 * |---|---|
 * | start | caches and components run; each controller starts when its caches are synced |
 * | this replica becomes leader | the controllers that need a leader start |
 * | leadership is lost | their runs end at once; a write that has not left yet does not leave |
 * | stop | those controllers end their runs and the lease is given up; when nobody is served any more the other controllers stop; then caches and components |
 * | a part ends by itself | it is told to `onFailure`, and health names it; the others go on until the program is stopped |
 * | the grace is over | what has not ended is named in the log, and `run` returns all the same |
 */
export class Manager {
  readonly #logger: Logger;
  readonly #election: LeaderElection;
  readonly #caches: Cache[] = [];
  readonly #components: Component[] = [];
  readonly #controllers: Controller[] = [];
  readonly #onFailure: (name: string, error: unknown) => void;
  /** Parts that have ended by themselves, with what they threw. */
  readonly #broken = new Map<string, string>();
  /** Caches of which it has been said that they are stale. */
  readonly #stale = new Set<string>();
  /** Controllers that run because this replica leads. */
  readonly #led = new Set<string>();
  readonly #names = new Set(['leader']);

  constructor({ logger, election = new AlwaysLeader(), onFailure = () => undefined }: ManagerOptions) {
    this.#logger = logger;
    this.#election = election;
    this.#onFailure = onFailure;
  }

  addCache(...caches: readonly Cache[]): this {
    this.#claim(caches);
    this.#caches.push(...caches);
    return this;
  }

  /** Something that works all the time on every replica and has no keys. */
  addComponent(...components: readonly Component[]): this {
    this.#claim(components);
    this.#components.push(...components);
    return this;
  }

  addController(...controllers: readonly Controller[]): this {
    this.#claim(controllers);
    this.#controllers.push(...controllers);
    return this;
  }

  /** A name stands for one part, in the log and in health. */
  #claim(parts: readonly { readonly name: string }[]): void {
    for (const { name } of parts) {
      if (this.#names.has(name)) throw new TypeError(`there are two components called ${name}`);
      this.#names.add(name);
    }
  }

  get isLeader(): boolean {
    return this.#election.isLeader;
  }

  /** Each part by itself, caches first. */
  health(): Health[] {
    const parts = [...this.#caches, ...this.#components, this.#election, ...this.#controllers];
    return parts.map((part) => {
      const health = part.health();
      const broken = this.#broken.get(health.component);
      return broken === undefined ? health : { ...health, ready: false, message: `It has ended: ${broken}` };
    });
  }

  /** Works until `stopping` aborts and everything that was under way has ended, or the grace is over. Never rejects. */
  async run(
    stopping: AbortSignal,
    { graceMs = GRACE_MS, served = Promise.resolve() }: StopOptions = {},
  ): Promise<void> {
    const nobodyServed = served.catch((err: unknown) => this.#logger.error({ err }, 'the end of serving has failed'));
    const following = new AbortController();
    const everywhere = new AbortController();
    const leading = new AbortController();
    const running = new Map<string, Promise<void>>();
    const begin = (name: string, work: () => Promise<void>) => {
      // A moment later, so that what throws at once is told like anything else.
      const whole = Promise.resolve().then(work);
      const told = whole.catch((error: unknown) => this.#failed(name, error));
      running.set(
        name,
        told.finally(() => running.delete(name)),
      );
    };
    for (const part of [...this.#caches, ...this.#components]) begin(part.name, () => part.run(following.signal));
    const never = new AbortController().signal;
    const session: Session = { stopping: everywhere.signal, lost: never, mayWrite: () => true };
    for (const each of this.#controllers) if (!each.needsLeader) begin(each.name, () => each.run(session));
    begin('leader', () => this.#election.run(leading.signal, (term) => this.#lead(term, leading.signal)));
    const freshness = setInterval(() => this.#reportStale(), FRESHNESS_MS);
    await aborted(stopping);
    clearInterval(freshness);
    const ended = new AbortController();
    const inOrder = async () => {
      const wait = new AbortController();
      void nobodyServed.then(() => wait.abort());
      await sleep(HANDOVER_MS, wait.signal);
      leading.abort();
      await Promise.all([nobodyServed, running.get('leader')]);
      everywhere.abort();
      await Promise.all(this.#controllers.flatMap(({ name }) => running.get(name) ?? []));
      following.abort();
      await Promise.all(running.values());
      ended.abort();
    };
    await Promise.race([inOrder(), sleep(graceMs, ended.signal)]);
    const names = [...running.keys(), ...this.#led];
    if (names.length > 0) this.#logger.warn({ running: names }, 'stopped before everything had ended');
    for (const each of [leading, everywhere, following]) each.abort();
  }

  /** Says once that a cache is stale, and once that it is not any more. */
  #reportStale(): void {
    for (const cache of this.#caches) {
      const { component, stale } = cache.health();
      if (stale === undefined) {
        if (this.#stale.delete(component)) this.#logger.info({ component }, 'a cache follows the cluster again');
      } else if (!this.#stale.has(component)) {
        this.#stale.add(component);
        const { ms, why, error } = stale;
        const fields = { component, staleMs: Math.round(ms), why, err: error };
        this.#logger.warn(fields, 'a cache cannot follow the cluster; until it can, it answers with what it has');
      }
    }
  }

  /** One term: it ends when every controller has ended its runs. */
  async #lead({ lost, holds }: Term, stopping: AbortSignal): Promise<void> {
    const session: Session = { stopping, lost, mayWrite: holds };
    const lead = async (controller: Controller) => {
      this.#led.add(controller.name);
      await controller.run(session).catch((error: unknown) => this.#failed(controller.name, error));
      this.#led.delete(controller.name);
    };
    const led = this.#controllers.filter(({ needsLeader }) => needsLeader).map(lead);
    await Promise.all([...led, aborted(AbortSignal.any([stopping, lost]))]);
  }

  #failed(name: string, err: unknown): void {
    this.#logger.fatal({ component: name, err }, 'a component has ended; the program has to be started again');
    this.#broken.set(name, err instanceof Error ? err.message : String(err));
    if (this.#broken.size === 1) this.#onFailure(name, err);
  }
}
