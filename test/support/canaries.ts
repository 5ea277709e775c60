import { pino, symbols } from 'pino';
import { afterAll } from 'vitest';

/**
 * Looks for secrets where none may be, in every test file.
 *
 * Tests plant credentials that all begin with one word, made by `canary()`. As a setup file this module then reads every
 * line that any logger writes and all that goes to standard output; `watchAnswer` reads the answers to HTTP requests and
 * `watchText` whatever else a helper hands it: objects in a cluster that are no Secrets, the log of another process.
 * A file in which the word was seen fails in its `afterAll`.
 */
const WORD = 'canary-';
/** The word as base64 has it, at each of the three places at which it can begin; and escaped in a URL. */
const DISGUISES = [WORD, ...[0, 1, 2].map(inBase64), 'canary%2D'];
const LONGEST = Math.max(...DISGUISES.map(({ length }) => length));
/** Of what was found: enough to see what it is, no more. */
const EXCERPT = 120;
const FINDINGS = 20;

/** One list for the process, however often this module is loaded in it. */
const shared = globalThis as { labwrightCanaries?: string[] };
const isFirst = shared.labwrightCanaries === undefined;
const findings = (shared.labwrightCanaries ??= []);

/** A credential for a test to plant. */
export function canary(name: string): string {
  return `${WORD}${name}`;
}

/** Whether a text has a planted credential in it, or a part of one, plain or in base64. */
export function hasCanary(text: string): boolean {
  return DISGUISES.some((word) => text.includes(word));
}

/** Notes it when a text has a planted credential in it. */
export function watchText(text: string, where: string): void {
  if (findings.length >= FINDINGS) return;
  const at = Math.min(...DISGUISES.map((word) => text.indexOf(word)).filter((index) => index >= 0));
  if (at !== Infinity) findings.push(`${where}: …${text.slice(Math.max(0, at - EXCERPT), at + EXCERPT)}…`);
}

/** The answer with a body that is looked through as the test reads it, and not before: it may never end. */
export function watchAnswer(answer: Response, where: string): Response {
  for (const [name, value] of answer.headers) watchText(value, `header ${name} of ${where}`);
  if (answer.body === null) return answer;
  const reader = (answer.body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader();
  const decoder = new TextDecoder();
  let tail = '';
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        const text = tail + decoder.decode(value, { stream: true });
        watchText(text, `body of ${where}`);
        // What stands across two pieces is seen with the second one.
        tail = hasCanary(text) ? '' : text.slice(1 - LONGEST);
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, answer);
}

function inBase64(offset: number): string {
  const text = Buffer.from('\0'.repeat(offset) + WORD).toString('base64');
  // The first and the last characters depend on what stands around it.
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + WORD.length) * 8) / 6));
}

type AsJson = (this: unknown, ...args: unknown[]) => string;

/** All loggers and their children have this one object behind them. */
function watchLoggers(): void {
  const key = symbols.asJsonSym;
  let holder: object = pino({ enabled: false });
  while (!Object.hasOwn(holder, key)) holder = Object.getPrototypeOf(holder) as object;
  const prototype = holder as Record<symbol, AsJson>;
  const original = prototype[key]!;
  prototype[key] = function asJson(...args) {
    const line = original.apply(this, args);
    watchText(line, 'log line');
    return line;
  };
}

function watchOutput(stream: NodeJS.WriteStream, where: string): void {
  const original = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (chunk: unknown, ...rest: unknown[]) => {
    watchText(typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString('utf8'), where);
    return original(chunk, ...rest);
  };
}

if (isFirst) {
  watchLoggers();
  watchOutput(process.stdout, 'standard output');
  watchOutput(process.stderr, 'standard error');
}

afterAll(() => {
  const seen = findings.splice(0);
  if (seen.length > 0) throw new Error(`A planted credential was seen ${seen.length} times:\n${seen.join('\n')}`);
});
