import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { BuildSpec } from '../../../src/domain/build/build.ts';
import { LogStore } from '../../../src/storage/archive/log-store.ts';
import { OpenFiles } from '../../../src/storage/archive/open-files.ts';

const ID = 'a'.repeat(40);
const COUNT = 5_000;

async function aStore(open: { most: number; idleMs: number; waitMs: number }) {
  const directory = await mkdtemp(join(tmpdir(), 'labwright-logs-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const options = { directory, totalSize: 2 ** 30, retention: 86_400_000, logger: pino({ level: 'silent' }), open };
  const store = await LogStore.open(options);
  const spec = { id: ID, key: ID, image: 'r/a:1', repository: {} } as BuildSpec;
  const lines = Array.from({ length: COUNT }, (_, index) => ({ line: index + 1, phase: null, text: `${index + 1}` }));
  await store.save({ spec, result: { status: 'ready', digest: 'd', at: 1 }, lines });
  return store;
}

describe('the files that readers have open', () => {
  it('are no more than allowed, and every reader gets every line once, however slow the others are', async () => {
    const store = await aStore({ most: 2, idleMs: 1, waitMs: 10_000 });
    const slow = Array.from({ length: 4 }, () => store.lines(ID));
    const seen = slow.map(() => 0);
    const step = async (index: number) => {
      const result = await slow[index]!.next();
      if (result.done === true) return false;
      seen[index] = (seen[index] ?? 0) + 1;
      expect(result.value.line).toBe(seen[index]);
      return true;
    };
    // Each in its turn goes on by one line, and holds its file meanwhile.
    for (let round = 0; round < 5; round += 1) for (const index of slow.keys()) await step(index);
    let fast = 0;
    for await (const { line } of store.lines(ID)) {
      fast += 1;
      expect(line).toBe(fast);
    }
    expect(fast).toBe(COUNT);
    await Promise.all(
      slow.map(async (_, index) => {
        while (await step(index));
      }),
    );
    expect(seen).toEqual([COUNT, COUNT, COUNT, COUNT]);
  });

  it('are not waited for longer than a deadline, nor by a reader that goes', async () => {
    const files = new OpenFiles({ most: 1, idleMs: 60_000, waitMs: 20 });
    const first = await files.take();
    await expect(files.take()).rejects.toThrow('Too many logs are being read at the moment');
    const gone = new AbortController();
    const waiting = files.take(gone.signal);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    first.release();
    (await files.take()).release();
    expect(files.size).toBe(0);
  });

  it('are given to the next in turn as soon as one is done', async () => {
    const files = new OpenFiles({ most: 1, idleMs: 60_000, waitMs: 10_000 });
    let file = await files.take();
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (each) => {
      file = await files.take();
      order.push(each);
      file.release();
    });
    file.release();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3]);
  });
});
