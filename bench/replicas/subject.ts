import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from './client.ts';
import type { Tally } from './tally.ts';

/** How a lab or a build is asked for, looked at and removed. */
export interface Routes {
  readonly name: string;
  readonly create: () => { readonly path: string; readonly body: object };
  /** Of what was created. @returns its path, from the answer */
  readonly path: (answer: string) => string;
  /** Statuses that say that it was accepted; the last one, also when it was asked for again. */
  readonly accepted: readonly number[];
  readonly terminal: readonly string[];
}

const RETRY_MS = 100;
const POLL_MS = 1_000;
/** A stream that has not ended by then never does. */
const STREAM_MS = 180_000;
const GIVE_UP_MS = 90_000;

/** One lab or one build, from the request to its end, as a hub or a browser sees it through a Service. */
export class Subject {
  readonly routes: Routes;
  path = '';
  /** What its stream said last; undefined while it has said nothing. */
  outcome: string | undefined;
  isAccepted = false;
  isRemoved = false;
  readonly #client: Client;
  readonly #tally: Tally;
  #isPolled = false;

  constructor(routes: Routes, client: Client, tally: Tally) {
    this.routes = routes;
    this.#client = client;
    this.#tally = tally;
  }

  /** Asks until it is accepted, as a hub does. */
  async create(): Promise<boolean> {
    const { path, body } = this.routes.create();
    const startedAt = performance.now();
    for (let attempt = 1; performance.now() < startedAt + GIVE_UP_MS; attempt += 1) {
      const answer = await this.#client.ask('POST', path, body).catch(() => undefined);
      // An answer that was lost: it is there already.
      const isThere = attempt > 1 && answer?.status === 409;
      if (answer !== undefined && (isThere || this.routes.accepted.includes(answer.status))) {
        this.path = this.routes.path(answer.text);
        this.isAccepted = true;
        this.#tally.accepted(this.routes.name, performance.now() - startedAt);
        return true;
      }
      if (answer === undefined) this.#tally.unanswered += 1;
      else if (!this.#tally.isOutage(answer.status))
        this.#tally.fail(`create of ${this.routes.name} answered ${answer.status}: ${answer.text.slice(0, 200)}`);
      await delay(RETRY_MS);
    }
    this.#tally.fail(`${this.routes.name} was never accepted`);
    return false;
  }

  /** Follows its events to the end, through whichever replicas there are, from where the last one stopped. */
  async follow(): Promise<void> {
    const signal = AbortSignal.timeout(STREAM_MS);
    const ends: string[] = [];
    const seen = new Set<string>();
    let last: string | undefined;
    while (ends.length === 0 && !signal.aborted) {
      try {
        for await (const { id, type } of this.#client.events(`${this.path}/events`, last, signal)) {
          if (id !== '' && seen.has(id)) this.#tally.fail(`${this.path}: event ${id} came twice`);
          if (ends.length > 0) this.#tally.fail(`${this.path}: ${type} after ${ends.join()}`);
          seen.add(id);
          last = id === '' ? last : id;
          if (this.routes.terminal.includes(type)) ends.push(type);
        }
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        const status = Number(/answered (404|5\d\d)/.exec(message)?.[1] ?? 0);
        if (status !== 0 && !this.#tally.isOutage(status)) this.#tally.fail(`stream: ${message}`);
      }
      if (ends.length === 0) {
        this.#tally.resumed += 1;
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
    this.outcome = ends[0];
    if (ends.length !== 1) this.#tally.fail(`${this.path}: a stream with ${ends.length} ends`);
    else this.#tally.ended(this.routes.name, ends[0] ?? '');
  }

  /** Looks at it each second for as long as it has to be there. */
  async poll(isOver: () => boolean): Promise<void> {
    this.#isPolled = true;
    while (this.#isPolled && !isOver()) {
      await this.#look();
      await delay(POLL_MS);
    }
  }

  async #look(): Promise<void> {
    const answer = await this.#client.ask('GET', this.path).catch(() => undefined);
    // Removed while the question was under way.
    if (!this.#isPolled) return;
    this.#tally.polls += 1;
    if (answer === undefined) this.#tally.unanswered += 1;
    else if (answer.status !== 200 && !this.#tally.isOutage(answer.status)) {
      this.#tally.failedPolls += 1;
      this.#tally.fail(`poll of ${this.path} answered ${answer.status}: ${answer.text.slice(0, 200)}`);
    }
  }

  /** Removes it, and waits until no replica knows it any more. */
  async remove(): Promise<void> {
    this.#isPolled = false;
    const startedAt = performance.now();
    let isAsked = false;
    while (performance.now() < startedAt + GIVE_UP_MS) {
      const method = isAsked ? 'GET' : 'DELETE';
      const answer = await this.#client.ask(method, this.path).catch(() => undefined);
      if (answer?.status === 404) {
        this.isRemoved = true;
        this.#tally.removed += 1;
        return;
      }
      if (answer === undefined) this.#tally.unanswered += 1;
      else if (answer.status >= 500) {
        if (!this.#tally.isOutage(answer.status)) this.#tally.fail(`${method} ${this.path} answered ${answer.status}`);
      } else if (answer.status < 300) isAsked = true;
      await delay(2 * RETRY_MS);
    }
    this.#tally.fail(`${this.path} did not go`);
  }
}
