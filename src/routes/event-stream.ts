import type { UnderlyingSource } from 'node:stream/web';
import type { LabEvent } from '../domain/lab.ts';

/** How often a quiet stream says that it is alive, in milliseconds. Proxies cut connections after 30 to 60 s. */
const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE = encode(': keep-alive\r\n\r\n');

/** Nobody looks at it; without one, each end of a stream would make an exception with a stack. */
const GONE = 'the stream has ended';

export interface EventStreamOptions {
  /** Makes the source, or says that there is none; its signal aborts when the reader is gone or the program stops. */
  readonly open: (signal: AbortSignal) => AsyncIterable<LabEvent> | undefined;
  /** Ends the stream without a terminal event, so that the reader comes back and asks the next process. */
  readonly stopping: AbortSignal;
  /** Told when the source throws; the stream then just ends, since its status is long sent. */
  readonly onError: (error: unknown) => void;
  readonly keepAliveMs?: number;
}

/**
 * A lab's events as the bytes of a `text/event-stream`.
 *
 * The stream is all pull: an event is asked for when the reader has room for it, and a timer runs only while a reader
 * waits. One that is slow holds one event and nothing else, one that goes away ends the source, and one that never reads
 * (the answer to a HEAD) costs nothing. It ends with the terminal event, with the source, or with the program.
 *
 * @returns undefined when there is no source
 */
export function eventStream(options: EventStreamOptions): ReadableStream<Uint8Array> | undefined {
  const gone = new AbortController();
  const events = options.open(gone.signal);
  if (events === undefined) return undefined;
  return new ReadableStream(pulling(events, gone, options), { highWaterMark: 0 });
}

function pulling(
  events: AsyncIterable<LabEvent>,
  gone: AbortController,
  options: EventStreamOptions,
): UnderlyingSource<Uint8Array> {
  let source: AsyncIterator<LabEvent> | undefined;
  let pending: Promise<IteratorResult<LabEvent>> | undefined;

  function finish(): void {
    options.stopping.removeEventListener('abort', finish);
    gone.abort(GONE);
    // The source has been told by its signal; what it does on its way out is its own affair.
    source?.return?.().catch(() => undefined);
  }

  async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      source ??= start();
      if (gone.signal.aborted) return end(controller);
      pending ??= source.next();
      const next = await within(options.keepAliveMs ?? KEEP_ALIVE_MS, pending, gone.signal);
      if (next === 'late') return controller.enqueue(KEEP_ALIVE);
      pending = undefined;
      if (next === 'aborted') return end(controller);
      if (next.done !== true) controller.enqueue(encode(formatEvent(next.value)));
      if (next.done === true || isTerminal(next.value)) end(controller);
    } catch (error) {
      if (!gone.signal.aborted) options.onError(error);
      end(controller);
    }
  }

  function start(): AsyncIterator<LabEvent> {
    if (options.stopping.aborted) gone.abort(GONE);
    options.stopping.addEventListener('abort', finish);
    return events[Symbol.asyncIterator]();
  }

  function end(controller: ReadableStreamDefaultController<Uint8Array>): void {
    finish();
    controller.close();
  }

  return { pull, cancel: finish };
}

/** One event in the bytes of Nublado's server, with an id in front. */
function formatEvent({ id, type, message, progress }: LabEvent): string {
  const fields = [`"message": ${pythonString(message)}`];
  if (progress !== undefined && progress > 0) fields.push(`"progress": ${String(Math.trunc(progress))}`);
  return `id: ${id.replaceAll(/[\r\n\0]/g, '')}\r\nevent: ${type}\r\ndata: {${fields.join(', ')}}\r\n\r\n`;
}

/** A string as Python's `json.dumps` writes it: everything outside printable ASCII escaped. */
function pythonString(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function isTerminal({ type }: LabEvent): boolean {
  return type === 'complete' || type === 'failed';
}

/** Waits for a value, but no longer than `ms` or until the signal aborts; leaves neither timer nor listener behind. */
async function within<T>(ms: number, value: Promise<T>, signal: AbortSignal): Promise<T | 'late' | 'aborted'> {
  const { promise, resolve } = Promise.withResolvers<'late' | 'aborted'>();
  const timer = setTimeout(() => resolve('late'), ms);
  const onAbort = () => resolve('aborted');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([value, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
