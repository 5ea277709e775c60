import { Agent, type IncomingMessage, request } from 'node:http';

/** What is asked for, and how. */
export interface Question {
  /** The controller, with its prefix. */
  readonly api: string;
  readonly token: string;
  /** URL whose last part tells the scripted build what to do. */
  readonly repository: string;
  readonly commit: string;
  /** The API of builds, or the stream of BinderHub. */
  readonly as: 'builds' | 'binder';
  readonly username?: string;
  /** Called with each stage or place in the queue that is told. */
  readonly onPhase?: (phase: string) => void;
}

/** What one reader saw of a build. Times are milliseconds since the epoch. */
export interface Reading {
  readonly askedAt: number;
  /** When the build was known to be asked for; of BinderHub's stream, when it began. */
  readonly answeredAt: number;
  readonly id: string | null;
  readonly firstAt: number | null;
  readonly lines: number;
  /** Each line once, and in order. */
  readonly inOrder: boolean;
  /** When the scripted build said it would end now. */
  readonly endedAt: number | null;
  readonly lastLineAt: number | null;
  /** Every last word that was heard; one is right. */
  readonly ends: readonly {
    readonly at: number;
    readonly type: string;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly phases: readonly { readonly at: number; readonly phase: string; readonly message: string }[];
  /** When the stream ended by itself; null where it broke. */
  readonly closedAt: number | null;
}

/** What is read of an event of either stream. */
type Frame = { readonly [Key in 'phase' | 'text' | 'message' | 'reason']?: string };

const ENDS = new Set(['ready', 'failed', 'cancelled']);
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** Asks for a build and reads its stream to the end. Never rejects for what the server does. */
export async function readBuild(question: Question, signal: AbortSignal): Promise<Reading> {
  const reader = new Reader(question);
  await reader.run(signal).catch(() => undefined);
  return reader.reading;
}

class Reader {
  readonly #question: Question;
  readonly #ends: Reading['ends'][number][] = [];
  readonly #phases: Reading['phases'][number][] = [];
  #reading: Omit<Reading, 'ends' | 'phases'> = {
    askedAt: Date.now(),
    answeredAt: Number.NaN,
    id: null,
    firstAt: null,
    lines: 0,
    inOrder: true,
    endedAt: null,
    lastLineAt: null,
    closedAt: null,
  };

  constructor(question: Question) {
    this.#question = question;
  }

  get reading(): Reading {
    return { ...this.#reading, ends: this.#ends, phases: this.#phases };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { api, repository, commit, as } = this.#question;
    if (as === 'binder') {
      return this.#follow(`${api}/build/git/${encodeURIComponent(repository)}/${commit}?build_only=true`, signal);
    }
    const id = await this.#ask(signal);
    if (id !== undefined) await this.#follow(`${api}/builds/v1/builds/${id}/events`, signal);
  }

  async #ask(signal: AbortSignal): Promise<string | undefined> {
    const { api, repository, commit: ref, username } = this.#question;
    const response = await this.#send('POST', `${api}/builds/v1/builds`, signal, { repository, ref, username });
    let text = '';
    for await (const piece of response.setEncoding('utf8')) text += piece as string;
    this.#reading = { ...this.#reading, answeredAt: Date.now() };
    if (response.statusCode === 200 || response.statusCode === 201) {
      const { id } = JSON.parse(text) as { id: string };
      this.#reading = { ...this.#reading, id };
      return id;
    }
    this.#ends.push({ at: Date.now(), type: 'refused', reason: String(response.statusCode), message: text });
    return undefined;
  }

  async #follow(url: string, signal: AbortSignal): Promise<void> {
    const response = await this.#send('GET', url, signal);
    if (this.#question.as === 'binder') this.#reading = { ...this.#reading, answeredAt: Date.now() };
    let rest = '';
    for await (const piece of response.setEncoding('utf8')) {
      const frames = (rest + (piece as string)).split(/\r?\n\r?\n/);
      rest = frames.pop() ?? '';
      const at = Date.now();
      for (const frame of frames) this.#take(frame, at);
    }
    this.#reading = { ...this.#reading, closedAt: Date.now() };
  }

  #take(frame: string, at: number): void {
    const text = /^data: ?(.*)$/m.exec(frame)?.[1];
    if (text === undefined) return;
    const data = JSON.parse(text) as Frame;
    const named = /^event: ?(\w+)$/m.exec(frame)?.[1];
    const phase = data.phase ?? '';
    const type = named ?? (ENDS.has(phase) ? phase : 'other');
    const message = data.text ?? data.message ?? '';
    const [word = '', number = ''] = message.split(/\s/, 2);
    if (ENDS.has(type)) {
      this.#ends.push({ at, type, reason: data.reason ?? '', message });
    } else if (word === 'line' && type !== 'phase') {
      const { lines, inOrder, firstAt } = this.#reading;
      const isNext = Number(number) === lines + 1;
      Object.assign(this.#reading, {
        lines: lines + 1,
        inOrder: inOrder && isNext,
        lastLineAt: at,
        firstAt: firstAt ?? at,
      });
    } else if (word === 'ended' && type !== 'phase') {
      Object.assign(this.#reading, { endedAt: Number(number) / 1e6, lastLineAt: at });
    } else {
      this.#phases.push({ at, phase, message });
      this.#question.onPhase?.(phase);
    }
  }

  #send(method: string, url: string, signal: AbortSignal, body?: object): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${this.#question.token}`,
        accept: body === undefined ? 'text/event-stream' : 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      };
      const call = request(url, { method, headers, agent, signal }, resolve);
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
