import { Agent, request } from 'undici';
import { TextWatch, watchText } from '../../support/canary.ts';

/** The part of a build's state that the scenes look at. */
export interface BuildView {
  readonly id: string;
  readonly commit: string;
  readonly phase: string;
  readonly reason: string | null;
  readonly message: string | null;
  readonly image: string;
  readonly image_reference: string | null;
  readonly image_digest: string | null;
  readonly cached: boolean;
}

/** An event of a build's stream, with the keys of its data. */
export interface BuildStreamEvent {
  readonly id: string;
  /** `phase`, `log`, `ready`, `failed`, `cancelled`. */
  readonly type: string;
  readonly message?: string;
  readonly phase?: string | null;
  readonly line?: number;
  readonly text?: string;
  readonly image_reference?: string;
  readonly image_digest?: string;
  readonly cached?: boolean;
  readonly reason?: string;
}

/** What is asked for. */
export interface BuildRequestBody {
  readonly repository: string;
  readonly ref?: string;
  readonly path?: string;
  readonly detached?: boolean;
}

/** An answer with its status; `body` is the state of a build, or an error. */
export interface BuildAnswer {
  readonly status: number;
  readonly text: string;
  readonly state: BuildView;
}

/** A client of the routes of builds, and of labs from repositories, that looks for planted credentials in every answer. */
export class BuildsApi {
  readonly #url: string;
  readonly #token: string;
  readonly #agent = new Agent({ connections: null, bodyTimeout: 0, headersTimeout: 0 });

  /** @param url origin and path prefix */
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  request(body: BuildRequestBody): Promise<BuildAnswer> {
    return this.#call('POST', '/builds/v1/builds', body);
  }

  get(id: string): Promise<BuildAnswer> {
    return this.#call('GET', `/builds/v1/builds/${id}`);
  }

  cancel(id: string): Promise<BuildAnswer> {
    return this.#call('DELETE', `/builds/v1/builds/${id}`);
  }

  async log(id: string): Promise<string> {
    return (await this.#call('GET', `/builds/v1/builds/${id}/log`)).text;
  }

  /** Asks for a lab as the hub does, with any selector of an image. @returns the status of the answer */
  async createLab(
    username: string,
    options: Readonly<Record<string, string>>,
    env: Readonly<Record<string, string>>,
  ): Promise<BuildAnswer> {
    const lists = Object.fromEntries(Object.entries(options).map(([key, value]) => [key, [value]]));
    const body = { options: { size: ['small'], ...lists }, env };
    return this.#call('POST', `/spawner/v1/labs/${username}/create`, body);
  }

  /** The events until the stream ends, or is cut. */
  async *events(id: string, options: { lastEventId?: string | undefined; signal?: AbortSignal } = {}) {
    const { lastEventId, signal } = options;
    const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
    for await (const frame of this.frames(`/builds/v1/builds/${id}/events`, headers, signal)) {
      const type = frame.get('event');
      if (type === undefined) continue;
      const data = JSON.parse(frame.get('data') ?? '{}') as Omit<BuildStreamEvent, 'id' | 'type'>;
      yield { ...data, id: frame.get('id') ?? '', type } satisfies BuildStreamEvent;
    }
  }

  /** A stream of server-sent events, each as its fields. @throws Error when the answer is not a 200 */
  async *frames(path: string, headers: Readonly<Record<string, string>> = {}, signal?: AbortSignal) {
    const { statusCode, body } = await request(this.#url + path, {
      dispatcher: this.#agent,
      headers: { ...this.#headers(), accept: 'text/event-stream', ...headers },
      ...(signal === undefined ? {} : { signal }),
    });
    if (statusCode !== 200) throw new Error(`GET ${path} answered ${statusCode}: ${await body.text()}`);
    const watch = new TextWatch(`events at ${path}`);
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of body) {
      watch.add(chunk as Buffer);
      rest += decoder.decode(chunk as Buffer, { stream: true });
      const frames = rest.split(/\r?\n\r?\n/);
      rest = frames.pop() ?? '';
      for (const frame of frames) yield fieldsOf(frame);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<BuildAnswer> {
    const answer = await request(this.#url + path, {
      method,
      dispatcher: this.#agent,
      headers: { ...this.#headers(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    watchText(`${JSON.stringify(answer.headers)} ${text}`, `answer to ${method} ${path}`);
    const isJson = String(answer.headers['content-type']).startsWith('application/json');
    return { status: answer.statusCode, text, state: (isJson ? JSON.parse(text) : {}) as BuildView };
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.#token}` };
  }
}

function fieldsOf(frame: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of frame.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  return fields;
}
