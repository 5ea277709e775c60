import { connect } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Conversation {
  readonly answers: readonly RawAnswer[];
  /** What came behind the last whole answer. */
  readonly rest: string;
  /** Whether the other end closed by itself, which also a reset does. */
  readonly isClosed: boolean;
  /** From the connection to its end, in milliseconds. */
  readonly ms: number;
}

export interface ConversationOptions {
  /** Longest wait for the other end to close. */
  readonly patienceMs?: number;
  /** Sent in these pieces, so far apart. */
  readonly pauseMs?: number;
}

/** Sends bytes on a connection of its own, and reads until the other end closes it or patience ends. */
export async function converse(
  port: number,
  bytes: string | readonly string[],
  { patienceMs = 3000, pauseMs = 0 }: ConversationOptions = {},
): Promise<Conversation> {
  const begun = performance.now();
  const socket = connect(port, '127.0.0.1');
  const pieces = (typeof bytes === 'string' ? [bytes] : bytes).map((piece) => Buffer.from(piece, 'latin1'));
  let [text, isClosed] = ['', true];
  const { promise, resolve } = Promise.withResolvers<void>();
  const timers: NodeJS.Timeout[] = [
    setTimeout(() => {
      isClosed = false;
      resolve();
    }, patienceMs),
  ];
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  // A server that refuses a request need not read all of it; what it said before counts.
  socket.once('error', () => resolve()).once('close', () => resolve());
  pieces.forEach((piece, at) => {
    if (pauseMs === 0) socket.write(piece);
    else timers.push(setTimeout(() => socket.write(piece), at * pauseMs));
  });
  await promise;
  timers.forEach((timer) => clearTimeout(timer));
  socket.destroy();
  return { ...readAnswers(text), isClosed, ms: performance.now() - begun };
}

function readAnswers(text: string): Pick<Conversation, 'answers' | 'rest'> {
  const answers: RawAnswer[] = [];
  let rest = text;
  for (;;) {
    const head = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n/.exec(rest);
    if (head === null) return { answers, rest };
    const headers = Object.fromEntries(
      (head[2] ?? '').split('\r\n').flatMap((line) => {
        const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(line) ?? [];
        return name === '' ? [] : [[name.toLowerCase(), value]];
      }),
    ) as Record<string, string>;
    const length = Number(headers['content-length'] ?? 0);
    const start = head[0].length;
    answers.push({ status: Number(head[1]), headers, body: rest.slice(start, start + length) });
    rest = rest.slice(start + length);
  }
}
