import { sleep } from '../../../../src/util/sleep.ts';
import fc from 'fast-check';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type FollowLogOptions, followLog } from '../../../../src/storage/kubernetes/log/container-log.ts';
import { KubeError } from '../../../../src/storage/kubernetes/kube-error.ts';
import { FakeLog, type Written } from '../../support/fake-log.ts';

const NEVER = new AbortController().signal;
const START = 1_800_000_000_000_000_000n;
const MS = 1_000_000n;

async function readAll(options: Partial<FollowLogOptions> & Pick<FollowLogOptions, 'open'>) {
  const texts: string[] = [];
  const lines = followLog({ over: AbortSignal.abort(), signal: NEVER, ...options });
  for (;;) {
    const step = await lines.next();
    if (step.done === true) return { texts, drained: step.value };
    texts.push(step.value.text);
  }
}

/** Reads a log that is over. */
function readLog(log: FakeLog, options: Partial<FollowLogOptions> = {}) {
  return readAll({ open: log.open, over: log.over, ...options });
}

const number = (count: number, step = MS): Written[] =>
  Array.from({ length: count }, (_, index) => ({ at: START + BigInt(index) * step, text: `line ${index}` }));

describe('the log of a container', () => {
  it('is delivered once and in order when the connection breaks every 500 lines of 10,000', async () => {
    const log = new FakeLog();
    log.write(...number(10_000));
    const size = Buffer.byteLength('2027-01-15T08:00:00.000000000Z line 1234\n');
    // Each connection gets 500 lines beyond what it is told again.
    log.fates = Array.from({ length: 19 }, (_, index) => ({
      after: Math.round((500 + (index === 0 ? 0 : 1_000 + ((index * 500 - 1) % 1_000))) * size),
      how: 'reset' as const,
    }));
    log.finish();
    const { texts, drained } = await readLog(log);
    expect(texts).toEqual(number(10_000).map(({ text }) => text));
    expect(drained).toBe(true);
    expect(log.connections).toBeGreaterThan(15);
  });

  it('is delivered once and in order whatever happens to its connections', async () => {
    const texts = fc.constantFrom('', 'same', 'same', 'other', 'é\r50 %', 'x'.repeat(70), 'y'.repeat(9_000));
    // Slightly out of order, many at one time, now and then a pause.
    const steps = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(0n, 0n, 1n, 300n, -900n) },
      { weight: 2, arbitrary: fc.bigInt({ min: 1n * MS, max: 400n * MS }) },
      { weight: 1, arbitrary: fc.constantFrom(1_000n * MS, 5_000n * MS) },
    );
    const fates = fc.record({
      after: fc.integer({ min: 0, max: 30_000 }),
      how: fc.constantFrom('reset' as const, 'end' as const),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(steps, texts), { maxLength: 60 }),
        fc.array(fates, { maxLength: 3 }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(60),
        async (pieces, ends, chunk, late) => {
          let at = START;
          const lines = pieces.map(([step, text]) => ({ at: (at += step), text }));
          const log = new FakeLog();
          log.fates = [...ends];
          log.chunk = chunk;
          log.write(...lines.slice(0, late));
          const reading = readLog(log);
          await Promise.resolve();
          log.write(...lines.slice(late));
          log.finish();
          expect(await reading).toEqual({ texts: lines.map(({ text }) => text), drained: true });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is read on from the second before its last line', async () => {
    const log = new FakeLog();
    log.write({ at: START + 5_600n * MS, text: 'first' });
    log.finish();
    await readLog(log);
    expect(log.positions.map(({ since }) => since)).toEqual([null, '2027-01-15T08:00:04Z']);
  });

  it('does not repeat or lose a line when the kubelet has removed the beginning', async () => {
    const log = new FakeLog();
    log.write(...number(100));
    log.fates = [{ after: 2_000, how: 'reset' }];
    const reading = readLog(log, { onError: () => (log.vanished = 30) });
    log.finish();
    expect((await reading).texts).toEqual(number(100).map(({ text }) => text));
  });

  it('goes on with what is new when all that was delivered is gone', async () => {
    const log = new FakeLog();
    log.write(...number(10));
    log.fates = [{ after: 2_000, how: 'end' }];
    const seen: string[] = [];
    for await (const { text } of followLog({ open: log.open, over: log.over, signal: NEVER })) {
      seen.push(text);
      if (seen.length !== 10) continue;
      log.vanished = 10;
      log.write({ at: START + 5_000n * MS, text: 'after the rotation' });
      log.finish();
    }
    expect(seen).toEqual([...number(10).map(({ text }) => text), 'after the rotation']);
  });

  it('delivers more lines of one moment than are remembered, once', async () => {
    const log = new FakeLog();
    const lines = Array.from({ length: 45_000 }, (_, index) => ({ at: START + BigInt(index), text: `line ${index}` }));
    log.write(...lines);
    log.fates = [{ after: 1_500_000, how: 'reset' }];
    log.finish();
    expect((await readLog(log)).texts).toEqual(lines.map(({ text }) => text));
  });

  it('does not take the rest of a long line, which is read again from its middle, for a line', async () => {
    const long = `${'a'.repeat(16_384)}${'b'.repeat(100)}`;
    const first = new FakeLog();
    first.write({ at: START + 999n * MS, text: long }, { at: START + 2_100n * MS, text: 'next' });
    const again = new FakeLog();
    again.write({ at: START + 1_001n * MS, text: 'b'.repeat(100) }, { at: START + 2_100n * MS, text: 'next' });
    const logs = [first, again];
    const { texts } = await readAll({
      open: (...call) => (logs.shift() ?? again).open({ ...call[0], follow: false }, call[1]),
    });
    expect(texts).toEqual([long, 'next']);
  });

  it('keeps long lines, carriage returns and what is not UTF-8, and cuts what is too long for anybody', async () => {
    const log = new FakeLog();
    log.chunk = 1_000;
    const huge = 'é'.repeat(2_500_000);
    log.write(
      { at: START, text: 'x'.repeat(65_536) },
      { at: START, text: '10 %\r20 %\r' },
      { at: START, text: Buffer.from([0x61, 0xff, 0xfe, 0x62, 0xc3]) },
      { at: START, text: '' },
      { at: START, text: huge },
      { at: START, text: 'after' },
    );
    log.finish();
    const { texts } = await readLog(log);
    expect(texts[0]).toBe('x'.repeat(65_536));
    expect(texts.slice(1, 4)).toEqual(['10 %\r20 %\r', 'a\ufffd\ufffdb\ufffd', '']);
    expect(texts[4]).toMatch(/^é{500000,} \[… \d+ more bytes\]$/);
    expect(Buffer.byteLength(texts[4]!)).toBeLessThan(1024 * 1024 + 50);
    expect(texts.slice(5)).toEqual(['after']);
  });

  it('has a last line also without a newline, once it is over', async () => {
    const body = '2027-01-15T08:00:00.000000001Z one\n2027-01-15T08:00:00.000000002Z two';
    const { texts } = await readAll({ open: () => Promise.resolve(Readable.from([Buffer.from(body)])) });
    expect(texts).toEqual(['one', 'two']);
  });

  it('is not taken for read when an answer ends before what is known', async () => {
    const log = new FakeLog();
    log.write(...number(5));
    log.finish();
    const bodies = [Readable.from([]), undefined, Readable.from([])];
    const open: typeof log.open = (...call) => {
      const body = bodies.shift();
      return body === undefined ? log.open(...call) : Promise.resolve(body);
    };
    expect((await readAll({ open })).texts).toEqual(number(5).map(({ text }) => text));
    expect(log.connections).toBe(2);
  });

  it("leaves out the kubelet's own complaints, which have no time", async () => {
    const body = 'unable to retrieve container logs for containerd://1\n2027-01-15T10:00:00.5+02:00 one\n';
    const { texts } = await readAll({ open: () => Promise.resolve(Readable.from([Buffer.from(body)])) });
    expect(texts).toEqual(['one']);
  });

  it('is waited for while its container is about to start', async () => {
    const log = new FakeLog();
    log.write(...number(2));
    log.finish();
    const target = { verb: 'read log of', kind: 'Pod' };
    const refusals = [400, 503, 0].map((status) => new KubeError(target, { status, reason: 'x', message: 'not yet' }));
    const errors: unknown[] = [];
    const { texts } = await readAll({
      open: (...call) => {
        const refusal = refusals.shift();
        return refusal === undefined ? log.open(...call) : Promise.reject(refusal);
      },
      onError: (error) => errors.push(error),
    });
    expect(texts).toEqual(['line 0', 'line 1']);
    expect(errors).toHaveLength(3);
  });

  it('is given up when it is gone with its container', async () => {
    const gone = new KubeError(
      { verb: 'read log of', kind: 'Pod' },
      { status: 404, reason: 'NotFound', message: 'gone' },
    );
    expect(await readAll({ open: () => Promise.reject(gone) })).toEqual({ texts: [], drained: false });
  });

  it('is given up when the rest does not come in time, also from a peer that says nothing', async () => {
    const silent = () => Promise.resolve(new Readable({ read: () => undefined }));
    expect(await readAll({ open: silent, drainMs: 150 })).toEqual({ texts: [], drained: false });
    const hanging = () => new Promise<Readable>(() => undefined);
    expect(await readAll({ open: hanging, drainMs: 150 })).toEqual({ texts: [], drained: false });
  });

  it('is read to its end however long that takes, as long as something new comes', async () => {
    const text = (index: number) => `2027-01-15T08:00:0${index}.000000000Z line ${index}\n`;
    async function* slowly() {
      for (let index = 0; index < 8; index += 1) {
        await sleep(60);
        yield Buffer.from(text(index));
      }
    }
    const open = () => Promise.resolve(Readable.from(slowly()));
    const { texts, drained } = await readAll({ open, drainMs: 400, silenceMs: 10_000 });
    expect(texts).toHaveLength(8);
    expect(drained).toBe(false);
  });

  it('is read to its end when the peer keeps the connection after the container has ended', async () => {
    const log = new FakeLog();
    const over = new AbortController();
    log.write(...number(3));
    const seen: string[] = [];
    for await (const { text } of followLog({ open: log.open, over: over.signal, signal: NEVER })) {
      seen.push(text);
      if (seen.length >= 3) over.abort();
    }
    expect(seen).toEqual(['line 0', 'line 1', 'line 2']);
    expect(log.positions.map(({ follow }) => follow)).toEqual([true, false]);
  });

  it('is opened anew when nothing was heard for too long', async () => {
    const log = new FakeLog();
    log.write(...number(1));
    const stop = new AbortController();
    const open: typeof log.open = (...call) => {
      if (log.connections === 2) stop.abort();
      return log.open(...call);
    };
    await readAll({ open, over: NEVER, silenceMs: 1, signal: stop.signal });
    expect(log.connections).toBe(3);
  });

  it('ends at once when nobody wants it any more', async () => {
    const log = new FakeLog();
    const stop = new AbortController();
    const reading = readLog(log, { signal: stop.signal });
    stop.abort();
    expect(await reading).toEqual({ texts: [], drained: false });
  });
});
