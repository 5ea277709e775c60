import { until } from '../../reconcile/support/until.ts';
import type { LabApi, StreamEvent } from '../../support/lab-api.ts';

/** Follows a lab's event stream, which may break, and goes on where it was, as an EventSource does. */
export class Reader {
  readonly events: StreamEvent[] = [];
  readonly #api: LabApi;
  readonly #username: string;
  #ended: Promise<void>;

  constructor(api: LabApi, username: string) {
    this.#api = api;
    this.#username = username;
    this.#ended = this.#read();
  }

  /** Waits for the first event. */
  untilFirst(): Promise<unknown> {
    return until('the reader has seen something', () => this.events.length > 0);
  }

  /** Connects again with `Last-Event-ID` once the stream has broken, and reads to its end. */
  async resume(): Promise<void> {
    await this.#ended;
    // It may have come to its end before the process died: nobody reads on after that.
    if (this.outcome.some((type) => type === 'complete' || type === 'failed')) return;
    this.#ended = this.#read();
    await this.#ended;
  }

  /** The types of everything but progress. */
  get outcome(): string[] {
    return this.events.map(({ type }) => type).filter((type) => type !== 'info');
  }

  async #read(): Promise<void> {
    const lastEventId = this.events.at(-1)?.id;
    try {
      const stream = this.#api.events(this.#username, {
        signal: AbortSignal.timeout(30_000),
        ...(lastEventId === undefined ? {} : { lastEventId }),
      });
      for await (const event of stream) this.events.push(event);
    } catch {
      // It breaks when the process is killed; that is what it is there for.
    }
  }
}
