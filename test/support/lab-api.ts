import { Agent, request } from 'undici';
import { TextWatch, watchText } from './canary.ts';

/** One event of a lab's stream, as it came over the wire. */
export interface StreamEvent {
  readonly id: string | undefined;
  /** `info`, `error`, `complete`, `failed`. */
  readonly type: string;
  readonly message: string;
  readonly progress: number | undefined;
}

/** The part of a lab's state that scripts look at. */
export interface LabView {
  readonly status: string;
  readonly internal_url: string | null;
  readonly phase?: string;
  readonly reason?: string | null;
  readonly message?: string | null;
}

/** An answer as it came. */
export interface LabAnswer {
  readonly status: number;
  readonly text: string;
}

export interface LabApiOptions {
  /** Origin and path prefix: `http://127.0.0.1:8080/labwright`. */
  readonly url: string;
  readonly token: string;
  /** Sent with every create. */
  readonly image: string;
  readonly size: string;
  /** Further environment of every lab. */
  readonly env?: (username: string) => Readonly<Record<string, string>>;
}

/** A client of the lab routes that does what a hub's spawner does, for scripts that measure or try the controller. */
export class LabApi {
  readonly #options: LabApiOptions;
  readonly #base: string;
  readonly #forms: string;
  // A spawner holds one stream for each spawn in progress; the pool must never be the bound.
  readonly #agent = new Agent({ connections: null, bodyTimeout: 0, headersTimeout: 0 });

  constructor(options: LabApiOptions) {
    this.#options = options;
    this.#base = `${options.url}/spawner/v1/labs`;
    this.#forms = `${options.url}/spawner/v1/lab-form`;
  }

  /** @returns the status of the answer: 201, or what went wrong */
  async create(username: string, image = this.#options.image): Promise<number> {
    return (await this.ask(username, { size: [this.#options.size], image_list: [image] })).status;
  }

  /** Asks for a lab with these options. @returns the answer: 201, or what went wrong and why */
  async ask(username: string, options: Readonly<Record<string, unknown>>): Promise<LabAnswer> {
    const env = {
      JUPYTERHUB_SERVICE_PREFIX: `/user/${username}/`,
      JUPYTERHUB_USER: username,
      ...this.#options.env?.(username),
    };
    return this.#call('POST', `/${encodeURIComponent(username)}/create`, JSON.stringify({ options, env }));
  }

  /** @returns the status of the answer: 204, or what went wrong */
  async delete(username: string): Promise<number> {
    return (await this.#call('DELETE', `/${encodeURIComponent(username)}`)).status;
  }

  /** The rich state, or undefined for 404. */
  async get(username: string): Promise<LabView | undefined> {
    const { status, text } = await this.#call('GET', `/${encodeURIComponent(username)}?detail=true`);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`GET lab answered ${status}: ${text}`);
    return JSON.parse(text) as LabView;
  }

  /** Names of users whose lab runs; throws when nobody listens. */
  async running(): Promise<string[]> {
    const { status, text } = await this.#call('GET', '');
    if (status !== 200) throw new Error(`GET labs answered ${status}: ${text}`);
    return JSON.parse(text) as string[];
  }

  /** The event stream until it ends. */
  async *events(
    username: string,
    options: { lastEventId?: string; signal?: AbortSignal } = {},
  ): AsyncGenerator<StreamEvent> {
    const { statusCode, body } = await request(`${this.#base}/${encodeURIComponent(username)}/events`, {
      dispatcher: this.#agent,
      headers: {
        ...this.#headers(),
        ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (statusCode !== 200) throw new Error(`GET events answered ${statusCode}: ${await body.text()}`);
    let buffer = '';
    const watch = new TextWatch(`events of ${username}`);
    for await (const chunk of body) {
      watch.add(chunk as Buffer);
      const frames = (buffer + (chunk as Buffer).toString('utf8')).replaceAll('\r\n', '\n').split('\n\n');
      buffer = frames.pop() ?? '';
      for (const frame of frames) {
        const event = parseFrame(frame);
        if (event !== undefined) yield event;
      }
    }
  }

  /** The form that a user is shown, in HTML. */
  async form(username: string): Promise<string> {
    const { status, text } = await this.#call('GET', `/${encodeURIComponent(username)}`, undefined, this.#forms);
    if (status !== 200) throw new Error(`GET lab-form answered ${status}: ${text}`);
    return text;
  }

  /** Creates a lab and follows its events to the end, as the hub does. */
  async spawn(username: string, image?: string): Promise<{ status: number; last: StreamEvent | undefined }> {
    const status = await this.create(username, image);
    if (status !== 201) return { status, last: undefined };
    let last: StreamEvent | undefined;
    for await (const event of this.events(username)) last = event;
    return { status, last };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: string, base = this.#base): Promise<LabAnswer> {
    const answer = await request(`${base}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: { ...this.#headers(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    watchText(`${JSON.stringify(answer.headers)} ${text}`, `answer to ${method} ${path}`);
    return { status: answer.statusCode, text };
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#options.token}` };
  }
}

function parseFrame(frame: string): StreamEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of frame.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  const type = fields.get('event');
  if (type === undefined) return undefined;
  const data = JSON.parse(fields.get('data') ?? '{}') as { message?: string; progress?: number };
  return { id: fields.get('id'), type, message: data.message ?? '', progress: data.progress };
}
