import { Readable } from 'node:stream';

/** From where a log is read: RFC 3339, or null for the beginning. */
interface Position {
  readonly since: string | null;
  readonly follow: boolean;
}

/** Gives lines, `<time> <text>\n`, one in each chunk. */
export type OpenLines = (position: Position, signal: AbortSignal) => Promise<Readable>;

const SPACE = 32;
/** `2026-01-01T00:00:00`: Podman knows no more of the time of a line. */
const SECOND = 19;

/**
 * A log with its end. Podman stops following when the container ends, wherever it is in the log then, so what a followed
 * log has not delivered is read once more; of Docker's log nothing is left by then.
 */
export async function openWholeLog(open: OpenLines, position: Position, signal: AbortSignal): Promise<Readable> {
  const closed = new AbortController();
  const both = AbortSignal.any([signal, closed.signal]);
  const first = await open(position, both);
  const log = Readable.from(lines(first, open, position, both), { objectMode: false });
  log.once('close', () => closed.abort(new Error('the log is not read any more')));
  return log;
}

async function* lines(
  first: Readable,
  open: OpenLines,
  { since, follow }: Position,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const from = since?.slice(0, SECOND) ?? '';
  let last = since;
  /** Lines of the moment `last` that were delivered. */
  let delivered = 0;
  for await (const line of first as AsyncIterable<Buffer>) {
    const time = timeOf(line);
    if (time.slice(0, SECOND) < from) continue;
    delivered = time === last ? delivered + 1 : 1;
    last = time;
    yield line;
  }
  if (!follow) return;
  let skip = delivered;
  for await (const line of (await open({ since: last, follow: false }, signal)) as AsyncIterable<Buffer>) {
    const time = timeOf(line);
    if (last !== null && time < last && (delivered > 0 || time.slice(0, SECOND) < from)) continue;
    if (time === last && skip > 0) skip -= 1;
    else yield line;
  }
}

function timeOf(line: Buffer): string {
  return line.toString('latin1', 0, line.indexOf(SPACE));
}
