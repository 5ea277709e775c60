import { pino, symbols } from 'pino';
import { afterAll } from 'vitest';
import { takeFindings, TextWatch, watchText } from './canary.ts';

/**
 * Looks for secrets where none may be, in every test file.
 *
 * Tests plant credentials that all begin with one word, made by `canary()`. As a setup file this module reads every line
 * that any logger writes, and all that goes to standard output. Helpers show it more: the answers to HTTP requests, what
 * is written to a cluster and what is in one, the log of another process. A file in which the word was seen fails in its
 * `afterAll`.
 */
type AsJson = (this: unknown, ...args: unknown[]) => string;

/** The answer with a body that is looked through as the test reads it, and not before: it may never end. */
export function watchAnswer(answer: Response, where: string): Response {
  for (const [name, value] of answer.headers) watchText(value, `header ${name} of the answer to ${where}`);
  if (answer.body === null) return answer;
  const reader = (answer.body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader();
  const watch = new TextWatch(`body of the answer to ${where}`);
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        watch.add(value);
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, answer);
}

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

/** Once for each process, however often this module is loaded in it. */
const shared = globalThis as { labwrightCanariesAreWatched?: boolean };
if (shared.labwrightCanariesAreWatched !== true) {
  shared.labwrightCanariesAreWatched = true;
  watchLoggers();
  watchOutput(process.stdout, 'standard output');
  watchOutput(process.stderr, 'standard error');
  afterAll(() => {
    const findings = takeFindings();
    if (findings.length === 0) return;
    throw new Error(`A planted credential was seen ${findings.length} times:\n${findings.join('\n')}`);
  });
}
