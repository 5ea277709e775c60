import type { UnderlyingSource } from 'node:stream/web';

/** How often a quiet stream says that it is alive, in milliseconds. Proxies cut connections after 30 to 60 s. */
const KEEP_ALIVE_MS = 15_000;

/** Nobody looks at it; without one, each end of a stream would make an exception with a stack. */
const GONE = 'the stream has ended';

/** Not to be kept by caches, not to be buffered by nginx on the way. */
export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-store',
  Connection: 'keep-alive',
  'X-Accel-Buffering': 'no',
};

/** Where the items of a stream come from, and what ends it. */
export interface StreamSource<Item> {
  /** Makes the source, or says that there is none; its signal aborts when the reader is gone or the program stops. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Item> | undefined;
  /** Ends the stream without a terminal event, so that the reader comes back and asks the next process. */
  readonly stopping: AbortSignal;
  /** Told when the source throws; the stream then just ends, since its status is long sent. */
  readonly onError: (error: unknown) => void;
  readonly keepAliveMs?: number;
}

/** How the items look on the wire. */
export interface StreamFormat<Item> {
  readonly format: (item: Item) => string;
  /** Whether the stream ends with it. */
  readonly isLast: (item: Item) => boolean;
  /** Characters up to which what is there already is sent at once; each item for itself when absent. */
  readonly batch?: number;
  /** What a quiet stream says to show that it is alive; nothing when absent. */
  readonly keepAlive?: string;
  /** What a stream says that ends before its last item: the program stops, or the source has failed or run dry. */
  readonly cutShort?: (why: 'stopping' | 'broken') => string;
}

/**
 * Items as the bytes of an answer that goes on.
 *
 * The stream is all pull: an item is asked for when the reader has room for it, and a timer runs only while a reader
 * waits. One that is slow holds one item, or one batch of them, and nothing else, one that goes away ends the source, and one that never reads
 * (the answer to a HEAD) costs nothing. It ends with the last item, with the source, or with the program.
 *
 * @returns undefined when there is no source
 */
export function pulledStream<Item>(
  source: StreamSource<Item>,
  format: StreamFormat<Item>,
): ReadableStream<Uint8Array<ArrayBuffer>> | undefined {
  const gone = new AbortController();
  const items = source.open(gone.signal);
  if (items === undefined) return undefined;
  return new ReadableStream(pulling(items, gone, source, format), { highWaterMark: 0 });
}

function pulling<Item>(
  items: AsyncIterable<Item>,
  gone: AbortController,
  { stopping, onError, keepAliveMs = KEEP_ALIVE_MS }: StreamSource<Item>,
  { format, isLast, batch = 0, keepAlive, cutShort }: StreamFormat<Item>,
): UnderlyingSource<Uint8Array<ArrayBuffer>> {
  type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  let source: AsyncIterator<Item> | undefined;
  let pending: Promise<IteratorResult<Item>> | undefined;
  let isCancelled = false;

  function finish(): void {
    stopping.removeEventListener('abort', finish);
    gone.abort(GONE);
    // The source has been told by its signal; what it does on its way out is its own affair.
    source?.return?.().catch(() => undefined);
  }

  function cancel(): void {
    isCancelled = true;
    finish();
  }

  async function pull(controller: Controller): Promise<void> {
    try {
      source ??= start();
      if (gone.signal.aborted) return cut(controller);
      pending ??= source.next();
      const next = await within(keepAlive === undefined ? undefined : keepAliveMs, pending, gone.signal);
      if (next === 'late') return controller.enqueue(encode(keepAlive ?? ''));
      pending = undefined;
      if (next === 'aborted' || next.done === true) return cut(controller);
      const { text, last } = await gather(next.value, source);
      if (isCancelled) return;
      controller.enqueue(encode(text));
      if (isLast(last)) end(controller);
    } catch (error) {
      if (!gone.signal.aborted) onError(error);
      cut(controller);
    }
  }

  /** An item, and those behind it that are there without waiting: a log costs a write for many lines, not for each. */
  async function gather(first: Item, from: AsyncIterator<Item>): Promise<{ text: string; last: Item }> {
    let [text, last] = [format(first), first];
    if (batch === 0) return { text, last };
    const { promise: soon, resolve } = Promise.withResolvers<undefined>();
    // Whatever can come without waiting for anything outside has come by then.
    setImmediate(resolve, undefined);
    while (!isLast(last) && text.length < batch && !gone.signal.aborted) {
      pending = from.next();
      // An end and an error are for the next pull.
      const next = await Promise.race([pending, soon]).catch(() => undefined);
      if (next === undefined || next.done === true) break;
      pending = undefined;
      last = next.value;
      text += format(last);
    }
    return { text, last };
  }

  function start(): AsyncIterator<Item> {
    if (stopping.aborted) gone.abort(GONE);
    stopping.addEventListener('abort', finish);
    return items[Symbol.asyncIterator]();
  }

  function cut(controller: Controller): void {
    const why = gone.signal.aborted ? 'stopping' : 'broken';
    if (!isCancelled && cutShort !== undefined) controller.enqueue(encode(cutShort(why)));
    end(controller);
  }

  function end(controller: Controller): void {
    finish();
    if (!isCancelled) controller.close();
  }

  return { pull, cancel };
}

/** Waits for a value, but no longer than `ms` or until the signal aborts; leaves neither timer nor listener behind. */
async function within<T>(
  ms: number | undefined,
  value: Promise<T>,
  signal: AbortSignal,
): Promise<T | 'late' | 'aborted'> {
  const { promise, resolve } = Promise.withResolvers<'late' | 'aborted'>();
  const timer = ms === undefined ? undefined : setTimeout(() => resolve('late'), ms);
  const onAbort = () => resolve('aborted');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([value, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** An id as it may stand in a stream: it can end neither its line nor the event. */
export function eventId(id: string): string {
  return id.replaceAll(/[\r\n\0]/g, '');
}
