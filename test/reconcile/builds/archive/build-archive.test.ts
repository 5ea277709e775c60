import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { BuildEvent, BuildResult, BuildSpec } from '../../../../src/domain/build/build.ts';
import { archiveController, BuildArchive } from '../../../../src/reconcile/builds/archive/build-archive.ts';
import { BuildLog } from '../../../../src/reconcile/builds/log/build-log.ts';
import { Manager } from '../../../../src/reconcile/manager.ts';
import { LogStore, type StoredLine } from '../../../../src/storage/archive/log-store.ts';
import { until } from '../../support/until.ts';

const NEVER = new AbortController().signal;
const RESULT: BuildResult = { status: 'ready', digest: 'sha256:1', at: 5 };
const LINES: StoredLine[] = ['one', 'two', 'three'].map((text, index) => ({
  line: index + 1,
  phase: null,
  text: `${text}\n`,
}));
const idOf = (number: number) => number.toString(16).padStart(40, '0');
const read =
  (lines: Iterable<StoredLine> = LINES) =>
  () =>
    Promise.resolve(lines);

function aBuild(id = idOf(1), createdAt = 1) {
  const repository = { provider: 'gh', url: 'u', ref: 'HEAD', commit: 'c', binderSlug: 's' } as const;
  const facts = { path: '', image: 'r/a:1', requestedBy: 'ada', detached: false, createdAt };
  const spec: BuildSpec = { id, key: id, repository, ...facts };
  return { spec, result: RESULT };
}

async function aDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'labwright-logs-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The archive of one replica. */
async function anArchive(directory: string, { now = { ms: 0 }, files = 10_000 } = {}) {
  const logger = pino({ level: 'silent' });
  const store = await LogStore.open({ directory, totalSize: 2 ** 26, retention: Date.now(), files, logger });
  return new BuildArchive({ files: store, logger, clock: { now: Date.now, monotonic: () => now.ms } });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const textOf = async (archive: BuildArchive, id: string) => collect(archive.log((await archive.find(id))!).text());
const told = (events: BuildEvent[]) =>
  events.map((event) => (event.type === 'log' ? event.text.trimEnd() : event.type));

describe('the archive of builds', () => {
  it('knows what another replica has archived in the same directory after both have started', async () => {
    const directory = await aDirectory();
    const [here, there] = [await anArchive(directory), await anArchive(directory)];
    await here.save(aBuild(), read(), NEVER);
    expect(there.known(idOf(1))).toBeUndefined();
    expect(await there.find(idOf(1))).toEqual(aBuild());
    expect(there.known(idOf(1))).toEqual(aBuild());
    expect(await textOf(there, idOf(1))).toEqual(['one', 'two', 'three']);
    expect(await there.find(idOf(2))).toBeUndefined();
  });

  it('does not take a build of the same id that was asked for at another time for the one that is meant', async () => {
    const directory = await aDirectory();
    const [here, there] = [await anArchive(directory), await anArchive(directory)];
    await here.save(aBuild(idOf(1), 1), read(), NEVER);
    expect(await here.find(idOf(1), NEVER, 2)).toBeUndefined();
    await there.save(aBuild(idOf(1), 2), read([]), NEVER);
    expect((await here.find(idOf(1), NEVER, 2))?.spec.createdAt).toBe(2);
  });

  it('keeps the log that is there when another replica comes to save what is left of it', async () => {
    const directory = await aDirectory();
    const [here, there] = [await anArchive(directory), await anArchive(directory)];
    await here.save(aBuild(), read(), NEVER);
    let reads = 0;
    const empty = () => Promise.resolve((reads += 1) === 0 ? LINES : []);
    await there.save(aBuild(), empty, NEVER);
    expect(reads).toBe(0);
    expect(await textOf(there, idOf(1))).toEqual(['one', 'two', 'three']);
  });

  it('keeps the log that another replica saved while this one read what is left of it, or had just looked for it', async () => {
    const directory = await aDirectory();
    const [here, there] = [await anArchive(directory), await anArchive(directory)];
    expect(await there.find(idOf(1))).toBeUndefined();
    const empty = async () => {
      await here.save(aBuild(), read(), NEVER);
      return [];
    };
    await there.save(aBuild(), empty, NEVER);
    expect(await textOf(there, idOf(1))).toEqual(['one', 'two', 'three']);
  });

  it('is whole after two replicas saved the same builds and swept at once', async () => {
    const directory = await aDirectory();
    const [here, there] = [await anArchive(directory, { files: 5 }), await anArchive(directory, { files: 5 })];
    const ids = Array.from({ length: 20 }, (_, index) => idOf(index + 1));
    await Promise.all([here, there].flatMap((archive) => ids.map((id) => archive.save(aBuild(id), read(), NEVER))));
    await Promise.all([here.refresh(NEVER), there.refresh(NEVER)]);
    const left = (await readdir(directory)).map((name) => name.replace('.jsonl.gz', ''));
    expect(left).toHaveLength(5);
    for (const archive of [here, there]) {
      await archive.refresh(NEVER);
      expect(ids.filter((id) => archive.known(id) !== undefined).sort()).toEqual(left.sort());
      for (const id of left) expect(await textOf(archive, id)).toEqual(['one', 'two', 'three']);
    }
  });

  it('says that a log could not be archived, and when that has been so for a while, until one could be', async () => {
    const directory = await aDirectory();
    const now = { ms: 0 };
    const archive = await anArchive(directory, { now });
    const away = `${directory}-away`;
    await rename(directory, away);
    const fail = async () => archive.save(aBuild(), read(), NEVER).catch((error: unknown) => error);
    expect(await fail()).toMatchObject({ name: 'ArchiveUnavailable', isLasting: false });
    now.ms = 60_000;
    expect(await fail()).toMatchObject({ isLasting: true });
    await rename(away, directory);
    await archive.save(aBuild(), read(), NEVER);
    await rename(directory, away);
    onTestFinished(() => rm(away, { recursive: true, force: true }));
    const other = archive.save(aBuild(idOf(2)), read(), NEVER);
    await expect(other).rejects.toMatchObject({ isLasting: false });
  });

  it('does not take what ended with the term of a leader, or failed in one long ago, for an archive that is away', async () => {
    const now = { ms: 0 };
    const archive = await anArchive(await aDirectory(), { now });
    const failure = async (signal: AbortSignal, save = () => Promise.reject(new Error('the disk is full'))) =>
      archive.save(aBuild(), save, signal).catch((error: unknown) => error);
    const lost = new AbortController();
    const endsWithTheTerm = () => {
      lost.abort(new DOMException('leadership is lost', 'AbortError'));
      return Promise.reject(lost.signal.reason as Error);
    };
    expect(await failure(lost.signal, endsWithTheTerm)).toBe(lost.signal.reason);
    now.ms = 60_000;
    expect(await failure(NEVER)).toMatchObject({ isLasting: false });
    now.ms += 3_600_000;
    expect(await failure(NEVER)).toMatchObject({ isLasting: false });
    for (const isLasting of [false, false, true]) {
      now.ms += 20_000;
      expect(await failure(NEVER)).toMatchObject({ isLasting });
    }
  });

  it('ends a save that its caller does not wait for any more, and leaves nothing behind', async () => {
    const directory = await aDirectory();
    const archive = await anArchive(directory);
    const stop = new AbortController();
    const endless = function* (): Generator<StoredLine> {
      for (let line = 1; ; line += 1) {
        if (line === 10_000) stop.abort();
        yield { line, phase: null, text: 'x' };
      }
    };
    await expect(archive.save(aBuild(), read(endless()), stop.signal)).rejects.toThrow(stop.signal.reason as Error);
    expect(await readdir(directory)).toEqual([]);
  });

  it('has nothing and takes nothing where there is no directory', async () => {
    const archive = new BuildArchive({ files: undefined, logger: pino({ level: 'silent' }) });
    await archive.save(aBuild(), () => Promise.reject(new Error('not read')), NEVER);
    await archive.refresh(NEVER);
    expect([archive.isEnabled, archive.known(idOf(1)), await archive.find(idOf(1))]).toEqual([
      false,
      undefined,
      undefined,
    ]);
  });
});

describe('an archived log', () => {
  it('goes on after the last line that a reader has seen in memory, there or in the file, with one end', async () => {
    const archive = await anArchive(await aDirectory());
    const { spec } = aBuild();
    const live = new BuildLog(spec.id, { size: 2 ** 20, createdAt: spec.createdAt });
    live.phase('building', 'b');
    for (const text of ['one', 'two', 'three']) live.append({ text });
    live.end({ type: 'ready', message: 'm', image: 'i', digest: 'd', cached: false });
    await archive.save(aBuild(), () => Promise.resolve(live.stored()), NEVER);
    const log = archive.log((await archive.find(spec.id))!);
    const archived = await collect(log.read(undefined, NEVER));
    expect(told(archived)).toEqual(['one', 'two', 'three', 'ready']);
    expect(new Set(archived.map(({ id }) => id)).size).toBe(4);
    const [, first, second] = await collect(live.read(undefined, NEVER));
    expect(told(await collect(log.read(first?.id, NEVER)))).toEqual(['two', 'three', 'ready']);
    expect(told(await collect(live.read(archived[1]?.id, NEVER)))).toEqual(['phase', 'three', 'ready']);
    for (const { id } of [...archived, second!]) expect(told(await collect(log.read(id, NEVER))).at(-1)).toBe('ready');
    expect(told(await collect(log.read(archived[3]?.id, NEVER)))).toEqual(['ready']);
    const other = archived[1]!.id.replace('.1-', '.2-');
    expect(told(await collect(log.read(other, NEVER)))).toEqual(['one', 'two', 'three', 'ready']);
  });
});

describe('the controller of the archive', () => {
  it('learns on every replica what was archived before it began', async () => {
    const directory = await aDirectory();
    await (await anArchive(directory)).save(aBuild(), read(), NEVER);
    const archive = await anArchive(directory);
    const logger = pino({ level: 'silent' });
    const stop = new AbortController();
    const follower = {
      isLeader: false,
      health: () => ({ component: 'leader', ready: true }),
      run: () => Promise.resolve(),
    };
    const manager = new Manager({ logger, election: follower }).addController(archiveController(archive, logger));
    const running = manager.run(stop.signal);
    await until('it is known', () => archive.known(idOf(1)));
    stop.abort();
    await running;
  });
});
