import { Agent, request } from 'undici';
import { TextWatch, watchText } from '../../support/canary.ts';
import { until } from '../../reconcile/support/until.ts';

export interface BuildStreamEvent {
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A client of the routes of builds, for an administrator. */
export class BuildApi {
  readonly #base: string;
  readonly #authorization: string;
  readonly #agent = new Agent({ connections: null, bodyTimeout: 0, headersTimeout: 0 });

  constructor(url: string, token: string) {
    this.#base = `${url}/builds/v1/builds`;
    this.#authorization = `Bearer ${token}`;
  }

  /** @returns the id of the build; throws when the process dies before it answers */
  async request(repository: string, ref: string): Promise<string> {
    const body = JSON.stringify({ repository, ref, username: 'ada' });
    const { status, text } = await this.#call('POST', '', body);
    if (status !== 201 && status !== 200) throw new Error(`POST build answered ${status}: ${text}`);
    return (JSON.parse(text) as { id: string }).id;
  }

  /** @returns the status of the answer */
  async cancel(id: string): Promise<number> {
    return (await this.#call('DELETE', `/${id}`)).status;
  }

  async phase(id: string): Promise<string> {
    const { text } = await this.#call('GET', `/${id}`);
    return (JSON.parse(text) as { phase: string }).phase;
  }

  /** The events until the stream ends or breaks. */
  async *events(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildStreamEvent> {
    const { statusCode, body } = await request(`${this.#base}/${id}/events`, {
      dispatcher: this.#agent,
      headers: {
        authorization: this.#authorization,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      signal,
    });
    if (statusCode !== 200) throw new Error(`GET events answered ${statusCode}: ${await body.text()}`);
    const watch = new TextWatch(`events of build ${id}`);
    let buffer = '';
    for await (const chunk of body) {
      watch.add(chunk as Buffer);
      const frames = (buffer + (chunk as Buffer).toString('utf8')).split('\r\n\r\n');
      buffer = frames.pop() ?? '';
      for (const frame of frames) {
        const [, eventId = '', type = '', data = ''] = /^id: (.*)\r\nevent: (.*)\r\ndata: (.*)$/.exec(frame) ?? [];
        if (type !== '') yield { id: eventId, type, data: JSON.parse(data) as BuildStreamEvent['data'] };
      }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: string) {
    const answer = await request(`${this.#base}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        authorization: this.#authorization,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    watchText(`${JSON.stringify(answer.headers)} ${text}`, `answer to ${method} ${path}`);
    return { status: answer.statusCode, text };
  }
}

/** Follows a build, and goes on where it was when the stream breaks, as an EventSource does. */
export class BuildReader {
  readonly events: BuildStreamEvent[] = [];
  readonly #api: BuildApi;
  readonly #id: string;
  readonly #halt = new AbortController();
  #ended: Promise<void>;

  constructor(api: BuildApi, id: string) {
    this.#api = api;
    this.#id = id;
    this.#ended = this.#read();
  }

  untilFirst(): Promise<unknown> {
    return until('the reader has seen something', () => this.events.length > 0);
  }

  untilLines(count: number): Promise<unknown> {
    return until(`the reader has seen ${count} lines`, () => this.lines.length >= count);
  }

  /** Goes away. */
  async stop(): Promise<void> {
    this.#halt.abort();
    await this.#ended;
  }

  /** Connects again as often as the stream breaks, until it has been told of the end. */
  async untilOver(): Promise<void> {
    await until('the reader is told of the end', async () => {
      await this.#ended;
      if (this.outcome.length > 0) return true;
      this.#ended = this.#read();
      return false;
    });
  }

  /** The terminal events. */
  get outcome(): string[] {
    return this.events.map(({ type }) => type).filter((type) => type !== 'phase' && type !== 'log');
  }

  get lines(): unknown[] {
    return this.events.filter(({ type }) => type === 'log').map(({ data }) => data['text']);
  }

  async #read(): Promise<void> {
    try {
      const signal = AbortSignal.any([this.#halt.signal, AbortSignal.timeout(30_000)]);
      for await (const event of this.#api.events(this.#id, this.events.at(-1)?.id, signal)) this.events.push(event);
    } catch {
      // It breaks when the process is killed; that is what it is there for.
    }
  }
}
