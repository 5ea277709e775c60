import type { Logger } from 'pino';
import { aborted, sleep } from '../util/sleep.ts';
import type { Controller, Session } from './controller.ts';
import type { Cache, Component, Health } from './health.ts';
import { AlwaysLeader, type LeaderElection, type Term } from './leader.ts';

export interface ManagerOptions {
  readonly logger: Logger;
  /** Who decides which replica reconciles; without one, this process always does. */
  readonly election?: LeaderElection;
}

export interface StopOptions {
  /** The longest that stopping may take, in milliseconds: below the grace period of the pod. */
  readonly graceMs?: number;
  /** Resolves when nobody outside is served any more. Caches and what serves readers go on until then. */
  readonly served?: Promise<void>;
}

const GRACE_MS = 25_000;
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
 * | the grace is over | what has not ended is named in the log, and `run` returns all the same |
 */
export class Manager {
  readonly #logger: Logger;
  readonly #election: LeaderElection;
  readonly #caches: Cache[] = [];
  readonly #components: Component[] = [];
  readonly #controllers: Controller[] = [];

  constructor({ logger, election = new AlwaysLeader() }: ManagerOptions) {
    this.#logger = logger;
    this.#election = election;
  }

  addCache(...caches: readonly Cache[]): this {
    this.#caches.push(...caches);
    return this;
  }

  /** Something that works all the time on every replica and has no keys. */
  addComponent(...components: readonly Component[]): this {
    this.#components.push(...components);
    return this;
  }

  addController(...controllers: readonly Controller[]): this {
    this.#controllers.push(...controllers);
    return this;
  }

  get isLeader(): boolean {
    return this.#election.isLeader;
  }

  /** Each part by itself, caches first. */
  health(): Health[] {
    const parts = [...this.#caches, ...this.#components, this.#election, ...this.#controllers];
    return parts.map((part) => part.health());
  }

  /** Works until `stopping` aborts and everything that was under way has ended, or the grace is over. Never rejects. */
  async run(
    stopping: AbortSignal,
    { graceMs = GRACE_MS, served = Promise.resolve() }: StopOptions = {},
  ): Promise<void> {
    const following = new AbortController();
    const everywhere = new AbortController();
    const leading = new AbortController();
    const running = new Map<string, Promise<void>>();
    const begin = (name: string, work: Promise<void>) =>
      running.set(
        name,
        work.finally(() => running.delete(name)),
      );
    for (const part of [...this.#caches, ...this.#components]) begin(part.name, part.run(following.signal));
    const never = new AbortController().signal;
    const session: Session = { stopping: everywhere.signal, lost: never, mayWrite: () => true };
    for (const each of this.#controllers) if (!each.needsLeader) begin(each.name, each.run(session));
    begin(
      'leader',
      this.#election.run(leading.signal, (term) => this.#lead(term, leading.signal, begin)),
    );
    await aborted(stopping);
    const ended = new AbortController();
    const inOrder = async () => {
      const wait = new AbortController();
      void served.then(() => wait.abort());
      await sleep(HANDOVER_MS, wait.signal);
      leading.abort();
      await Promise.all([served, running.get('leader')]);
      everywhere.abort();
      await Promise.all(this.#controllers.flatMap(({ name }) => running.get(name) ?? []));
      following.abort();
      await Promise.all(running.values());
      ended.abort();
    };
    await Promise.race([inOrder(), sleep(graceMs, ended.signal)]);
    if (running.size > 0) this.#logger.warn({ running: [...running.keys()] }, 'stopped before everything had ended');
    for (const each of [leading, everywhere, following]) each.abort();
  }

  async #lead(
    { lost, holds }: Term,
    stopping: AbortSignal,
    begin: (name: string, work: Promise<void>) => void,
  ): Promise<void> {
    const session: Session = { stopping, lost, mayWrite: holds };
    const led = this.#controllers.filter(({ needsLeader }) => needsLeader);
    const works = led.map((controller) => controller.run(session));
    for (const [index, work] of works.entries()) begin(led[index]?.name ?? '', work);
    await Promise.all(works);
  }
}
