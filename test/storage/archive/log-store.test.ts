import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { BuildResult, BuildSpec } from '../../../src/domain/build/build.ts';
import { LogStore, type LogStoreOptions, type StoredLine } from '../../../src/storage/archive/log-store.ts';

const DAY = 86_400_000;
const RESULT: BuildResult = { status: 'ready', digest: 'sha256:1', at: 5 };
const LINES: StoredLine[] = [
  { line: 1, phase: 'building', text: 'Step 1\r\n' },
  { line: 900, phase: null, text: '[… é 898 lines are not kept …]\n' },
];
const idOf = (number: number) => number.toString(16).padStart(40, '0');

function specOf(id: string): BuildSpec {
  const repository = { provider: 'gh', url: 'u', ref: 'HEAD', commit: 'c', binderSlug: 's' } as const;
  return { id, key: id, repository, path: '', image: 'r/a:1', requestedBy: 'ada', detached: false, createdAt: 1 };
}

async function aStore(options: Partial<LogStoreOptions> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'labwright-logs-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const logged: string[] = [];
  const logger = pino({ level: 'debug' }, { write: (line: string) => logged.push(line) });
  const all = { directory, totalSize: 2 ** 20, retention: DAY, logger, ...options };
  return { store: await LogStore.open(all), directory, logged, options: all };
}

const save = (store: LogStore, id: string, lines: Iterable<StoredLine> = LINES) =>
  store.save({ spec: specOf(id), result: RESULT, lines });

async function linesOf(store: LogStore, id: string): Promise<StoredLine[] | undefined> {
  if ((await store.find(id)) === undefined) return undefined;
  const lines: StoredLine[] = [];
  for await (const line of store.lines(id)) lines.push(line);
  return lines;
}

describe('the store of finished builds', () => {
  it('gives back what it was given, also to the next process', async () => {
    const { store, options, directory } = await aStore();
    await save(store, idOf(1));
    const next = await LogStore.open(options);
    expect(await next.find(idOf(1))).toMatchObject({ spec: specOf(idOf(1)), result: RESULT });
    expect(await linesOf(next, idOf(1))).toEqual(LINES);
    expect(await next.list()).toEqual([{ spec: specOf(idOf(1)), result: RESULT }]);
    expect(await linesOf(next, idOf(2))).toBeUndefined();
    expect(await readdir(directory)).toEqual([`${idOf(1)}.jsonl.gz`]);
  });

  it('replaces what it has of a build that was built again', async () => {
    const { store } = await aStore();
    await save(store, idOf(1));
    await save(store, idOf(1), []);
    expect(await linesOf(store, idOf(1))).toEqual([]);
  });

  it('refuses to open a directory that is not there or cannot be written, in one sentence', async () => {
    const { options, directory } = await aStore();
    const missing = join(directory, 'missing');
    await expect(LogStore.open({ ...options, directory: missing })).rejects.toThrow(
      `The directory for logs of builds, ${missing}, cannot be written: ENOENT`,
    );
    const file = join(directory, 'file');
    await writeFile(file, '');
    await expect(LogStore.open({ ...options, directory: file })).rejects.toThrow(/cannot be written: ENOTDIR/);
  });

  it('takes nothing for an id that could be a path', async () => {
    const { store } = await aStore();
    for (const id of ['../x', 'a/b', '', '.', 'A', 'x'.repeat(64), 'a\0']) {
      await expect(save(store, id)).rejects.toThrow(TypeError);
      expect(await store.find(id)).toBeUndefined();
    }
  });

  it('leaves out damaged files, with a warning, and gives what there is of one that is cut off', async () => {
    const { store, directory, logged } = await aStore();
    const many = Array.from({ length: 20_000 }, (_, index) => ({
      line: index + 1,
      phase: null,
      text: `${Math.random()}`,
    }));
    await save(store, idOf(1), many);
    const whole = await readFile(join(directory, `${idOf(1)}.jsonl.gz`));
    const damaged = [
      whole.subarray(0, 5),
      Buffer.from('no gzip'),
      gzipSync('not JSON\n'),
      gzipSync('{"version":2}\n'),
      whole,
    ];
    for (const [index, bytes] of damaged.entries())
      await writeFile(join(directory, `${idOf(index + 2)}.jsonl.gz`), bytes);
    expect((await store.list()).map(({ spec }) => spec.id)).toEqual([idOf(1)]);
    expect(logged).toHaveLength(damaged.length);
    await writeFile(join(directory, `${idOf(1)}.jsonl.gz`), whole.subarray(0, whole.length / 2));
    const lines = await linesOf(store, idOf(1));
    expect(lines!.length).toBeGreaterThan(1_000);
    expect(lines).toEqual(many.slice(0, lines!.length));
    expect(logged.at(-1)).toContain('is damaged');
  });

  it('removes what is too old, then the oldest of what is too much, and nothing that is not its own', async () => {
    const { store, directory, options } = await aStore();
    const now = 100 * DAY;
    const age = async (name: string, days: number) => {
      const at = (now - days * DAY) / 1000;
      await utimes(join(directory, name), at, at);
    };
    for (const number of [1, 2, 3, 4]) {
      await save(store, idOf(number));
      await age(`${idOf(number)}.jsonl.gz`, number);
    }
    for (const name of ['foreign.txt', '.writing-x']) {
      await writeFile(join(directory, name), 'x');
      await age(name, 50);
    }
    const old = await LogStore.open({ ...options, retention: 3.5 * DAY });
    expect(await old.sweep(now)).toEqual([idOf(4)]);
    expect(await readdir(directory)).not.toContain('.writing-x');
    const few = await LogStore.open({ ...options, retention: 99 * DAY, files: 2 });
    expect(await few.sweep(now)).toEqual([idOf(3)]);
    const { length } = await readFile(join(directory, `${idOf(1)}.jsonl.gz`));
    const small = await LogStore.open({ ...options, retention: 99 * DAY, totalSize: length });
    expect(await small.sweep(now)).toEqual([idOf(2)]);
    expect((await readdir(directory)).sort()).toEqual([`${idOf(1)}.jsonl.gz`, 'foreign.txt'].sort());
  });

  it('leaves nothing behind of what could not be written', async () => {
    const { store, directory } = await aStore();
    const broken = function* (): Generator<StoredLine> {
      yield LINES[0]!;
      throw new Error('no more');
    };
    await expect(save(store, idOf(1), broken())).rejects.toThrow('no more');
    expect(await readdir(directory)).toEqual([]);
  });

  it('is not waited for when its volume does not answer', async () => {
    const { store, directory } = await aStore();
    // Whoever opens a pipe waits for somebody who writes into it.
    const path = join(directory, `${idOf(1)}.jsonl.gz`);
    await promisify(execFile)('mkfifo', [path]);
    const stop = new AbortController();
    const waiting = [
      store.find(idOf(1), stop.signal),
      save(store, idOf(2)),
      store.lines(idOf(1), 0, stop.signal).next(),
    ];
    stop.abort(new Error('not waited for'));
    const outcomes = await Promise.allSettled(waiting);
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { message: 'not waited for' } },
      { status: 'fulfilled' },
      { status: 'fulfilled', value: { done: true } },
    ]);
    await writeFile(path, '');
  });

  it('says that a log cannot be read now, rather than that it ends there', async () => {
    const { store, directory } = await aStore();
    await mkdir(join(directory, `${idOf(1)}.jsonl.gz`));
    await expect(store.lines(idOf(1)).next()).rejects.toThrow('EISDIR');
    await expect(store.find(idOf(1))).rejects.toThrow('EISDIR');
    expect(await store.list()).toEqual([]);
  });

  it('keeps files from other users', async () => {
    const { store, directory } = await aStore();
    await save(store, idOf(1));
    const { mode } = await stat(join(directory, `${idOf(1)}.jsonl.gz`));
    expect(mode & 0o077).toBe(0);
  });

  it('lets other work have its turn while a log of 16 MiB is written and read', async () => {
    const { store } = await aStore();
    const text = `${'x'.repeat(99)}\n`;
    const lines = Array.from({ length: 160_000 }, (_, index) => ({ line: index + 1, phase: null, text }));
    let turns = 0;
    const other = setInterval(() => (turns += 1), 0);
    await save(store, idOf(1), lines);
    const written = turns;
    expect(await linesOf(store, idOf(1))).toHaveLength(lines.length);
    clearInterval(other);
    expect(written).toBeGreaterThan(20);
    expect(turns - written).toBeGreaterThan(20);
  });
});
