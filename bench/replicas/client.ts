import { type IncomingMessage, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface Frame {
  readonly id: string;
  readonly type: string;
  readonly data: string;
}

/** Longer than an answer takes, shorter than a stopped replica stays in the Service. */
const ANSWER_MS = 5_000;

/** HTTP with a connection of its own for each request, so that each may reach another replica. */
export class Client {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** @throws Error when there is no whole answer in time */
  async ask(method: string, path: string, body?: object): Promise<Answer> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await this.#send(method, path, { signal, ...(body === undefined ? {} : { body }) });
    let text = '';
    for await (const piece of response.setEncoding('utf8')) text += piece as string;
    return { status: response.statusCode ?? 0, text };
  }

  /** The events of a stream until it ends. @throws Error when it is refused or breaks */
  async *events(path: string, lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<Frame> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    const response = await this.#send('GET', path, { signal, headers });
    if (response.statusCode !== 200) {
      response.destroy();
      throw new Error(`${path} answered ${response.statusCode}`);
    }
    let rest = '';
    for await (const piece of response.setEncoding('utf8')) {
      const frames = (rest + (piece as string)).replaceAll('\r\n', '\n').split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames) {
        const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(frame)?.[1] ?? '';
        if (field('event') !== '') yield { id: field('id'), type: field('event'), data: field('data') };
      }
    }
  }

  #send(
    method: string,
    path: string,
    options: { signal: AbortSignal; body?: object; headers?: Record<string, string> },
  ): Promise<IncomingMessage> {
    const { signal, body, headers = {} } = options;
    return new Promise((resolve, reject) => {
      const call = request(
        `${this.#url}${path}`,
        {
          method,
          agent: false,
          signal,
          headers: {
            authorization: `Bearer ${this.#token}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...headers,
          },
        },
        resolve,
      );
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
