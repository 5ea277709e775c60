import fc from 'fast-check';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readWatchEvents } from '../../../src/storage/kubernetes/watch-events.ts';

const TARGET = { verb: 'watch', kind: 'Pod' };
const NEVER = new AbortController().signal;
const EVENT = { type: 'ADDED', object: { metadata: { name: 'a' } } };
const LINE = `${JSON.stringify(EVENT)}\n`;

/** Reads a stream that consists of these chunks: the events, and the error if it ends with one. */
async function read(chunks: Iterable<string | Buffer> | Readable, signal = NEVER) {
  const body = chunks instanceof Readable ? chunks : Readable.from(chunks, { objectMode: false });
  const events: unknown[] = [];
  let error: unknown;
  try {
    for await (const event of readWatchEvents(body, TARGET, signal)) events.push(event);
  } catch (cause) {
    error = cause;
  }
  return { events, error, body };
}

describe('a watch stream', () => {
  it('is one event a line, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 5 }),
        fc.array(fc.nat(40), { minLength: 1, maxLength: 30 }),
        async (names, cuts) => {
          const sent = names.map((name) => ({ type: 'MODIFIED', object: { metadata: { name } } }));
          const bytes = Buffer.from(sent.map((event) => `${JSON.stringify(event)}\n`).join(''));
          const chunks: Buffer[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const size = 1 + cuts[turn % cuts.length]!;
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(await read(chunks)).toMatchObject({ events: sent, error: undefined });
        },
      ),
      { numRuns: 100 },
    );
  });

  it('may hold empty lines, and may hold nothing', async () => {
    expect(await read(['\n', LINE, '\n'])).toMatchObject({ events: [EVENT], error: undefined });
    expect(await read([])).toMatchObject({ events: [], error: undefined });
  });

  it('that ends in the middle of an event is an error after what came before', async () => {
    expect(await read([LINE, LINE.slice(0, 9)])).toMatchObject({
      events: [EVENT],
      error: { status: 0, message: 'watch Pod: the stream ended in the middle of an event' },
    });
  });

  it.each(['<html>\n', '{}\n', '{"type":"RENAMED"}\n', '\u0000\n'])('with the line %j is an error', async (line) => {
    expect(await read([LINE, line, LINE])).toMatchObject({ events: [EVENT], error: { name: 'KubeError', status: 0 } });
  });

  it.each(['null\n', '7\n', '"ADDED"\n', '[]\n', '{"type":"ADDED"}\n', '{"type":"ADDED","object":null}\n'])(
    'with the line %j is an error of the watch and not of ours',
    async (line) => {
      expect(await read([LINE, line])).toMatchObject({ events: [EVENT], error: { name: 'KubeError', status: 0 } });
    },
  );

  it('ends with the status of an ERROR event', async () => {
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version: 1 (2)' };
    expect(await read([LINE, `${JSON.stringify({ type: 'ERROR', object: status })}\n`, LINE])).toMatchObject({
      events: [EVENT],
      error: { status: 410, reason: 'Expired', message: 'watch Pod: too old resource version: 1 (2)' },
    });
    expect((await read(['{"type":"ERROR"}\n'])).error).toMatchObject({ status: 500, reason: 'Unknown' });
  });

  it('with a line that never ends is given up before it fills the memory', async () => {
    let sent = 0;
    function* endless() {
      for (;;) {
        sent += 1;
        yield 'x'.repeat(1024 * 1024);
      }
    }
    const { error } = await read(endless());
    expect(error).toMatchObject({ status: 0, message: 'watch Pod: a line of the stream is too long' });
    expect(sent).toBeLessThan(16);
  });

  it('that breaks is an error with its cause', async () => {
    const broken = new Error('other side closed');
    const body = new Readable({ read: () => undefined });
    body.push(LINE);
    setImmediate(() => body.destroy(broken));
    const { error } = await read(body);
    expect(error).toMatchObject({ status: 0, reason: 'NoAnswer', cause: broken });
  });

  it('that broke because it was aborted ends without an error', async () => {
    const caller = new AbortController();
    const body = new Readable({ read: () => undefined });
    body.push(LINE);
    setImmediate(() => {
      caller.abort();
      body.destroy(new Error('aborted'));
    });
    expect(await read(body, caller.signal)).toMatchObject({ events: [EVENT], error: undefined });
  });

  it('is closed when its reader stops early', async () => {
    const body = new Readable({ read: () => undefined });
    body.push(LINE);
    for await (const event of readWatchEvents(body, TARGET, NEVER)) {
      expect(event).toEqual(EVENT);
      break;
    }
    expect(body.destroyed).toBe(true);
  });
});
