import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LabEvent } from '../../../src/domain/lab/lab.ts';
import { OperationLog, parseEventId } from '../../../src/reconcile/labs/operation-log.ts';

const SPAWN = '6f1c9a52-1a5b-4a36-9d3b-0a3c1f1f7b11';
const NEVER = new AbortController().signal;

function aLog(kind: 'spawn' | 'delete' = 'spawn', spawnId = SPAWN): OperationLog {
  return new OperationLog(kind, spawnId);
}

async function readAll(log: OperationLog, lastEventId?: string, signal = NEVER): Promise<LabEvent[]> {
  const events: LabEvent[] = [];
  for await (const event of log.read(lastEventId, signal)) events.push(event);
  return events;
}

const texts = (events: LabEvent[]) => events.map(({ message }) => message);

/** The id as a process before this one would have written it. */
const ofAnotherProcess = (id: string) => id.replace(/\.[0-9a-z]+\.(\d+\.\d+)$/, '.before.$1');

describe('the log of an operation', () => {
  it('tells everything from its start to its one terminal event', async () => {
    const log = aLog();
    log.info('begun', 1);
    log.info('made', 30);
    log.error('broken');
    log.end('failed', 'over');
    log.end('complete', 'too late');
    log.info('too late', 90);
    const events = await readAll(log);
    expect(events.map(({ type, message, progress }) => [type, message, progress])).toEqual([
      ['info', 'begun', 1],
      ['info', 'made', 30],
      ['error', 'broken', undefined],
      ['failed', 'over', undefined],
    ]);
    expect(log.ended).toBe(true);
  });

  it('tells any number of readers what comes while they read', async () => {
    const log = aLog();
    log.info('before', 1);
    const readers = Array.from({ length: 100 }, () => readAll(log));
    await Promise.resolve();
    log.info('between', 50);
    await Promise.resolve();
    log.end('complete', 'after');
    for (const events of await Promise.all(readers)) expect(texts(events)).toEqual(['before', 'between', 'after']);
  });

  it('never goes back in progress, never beyond 100, and ends once, whatever happens in it', async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('info' as const),
        progress: fc.option(fc.integer({ min: -5, max: 300 }), { nil: undefined }),
      }),
      fc.record({ do: fc.constant('step' as const), progress: fc.integer({ min: 0, max: 100 }) }),
      fc.record({ do: fc.constantFrom('note' as const, 'error' as const) }),
      fc.record({ do: fc.constantFrom('complete' as const, 'failed' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const log = aLog();
        steps.forEach((each, index) => {
          if (each.do === 'info') log.info(`${index}`, each.progress);
          else if (each.do === 'step') log.step(`${index}`, each.progress);
          else if (each.do === 'note') log.info(`${index}`);
          else if (each.do === 'error') log.error(`${index}`);
          else log.end(each.do, `${index}`);
        });
        log.end('complete', 'end');
        const events = await readAll(log);
        const progress = events.flatMap((event) => event.progress ?? []);
        expect(progress).toEqual([...progress].sort((a, b) => a - b));
        for (const each of progress) expect(each >= 1 && each <= 100).toBe(true);
        const terminal = events.filter(({ type }) => type === 'complete' || type === 'failed');
        expect(terminal).toEqual([events.at(-1)]);
        expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
        for (const { id } of events) expect(parseEventId(id)).toMatchObject({ spawnId: SPAWN, kind: 'spawn' });
      }),
    );
  });

  it('says once what Kubernetes repeats, and comes ever nearer to its limit', async () => {
    const log = aLog();
    log.info('begun', 30);
    for (const message of ['Scheduled', 'Pulling', 'Pulling', 'Pulled', 'Created', 'Started', 'Pulling'])
      log.step(message, 75);
    log.info('Waiting');
    log.info('Waiting');
    log.end('complete', 'up');
    const events = await readAll(log);
    expect(texts(events)).toEqual(['begun', 'Scheduled', 'Pulling', 'Pulled', 'Created', 'Started', 'Waiting', 'up']);
    expect(events.map(({ progress }) => progress).slice(0, 7)).toEqual([30, 45, 55, 61, 65, 68, 68]);
  });

  it('keeps a bounded number of events, and the last of them is the terminal one', async () => {
    const log = aLog();
    for (let event = 0; event < 10_000; event += 1) log.info(`${event}`, 1);
    log.error('the reason');
    const flooded = aLog();
    for (let event = 0; event < 10_000; event += 1) flooded.error(`${event}`);
    flooded.end('failed', 'over');
    expect((await readAll(flooded)).length).toBeLessThan(500);
    log.end('failed', 'over');
    const events = await readAll(log);
    expect(events.length).toBeLessThan(400);
    expect(texts(events).slice(-2)).toEqual(['the reason', 'over']);
  });
});

describe('a reader that comes back', () => {
  it('goes on after the last event it has seen', async () => {
    const log = aLog();
    for (const message of ['one', 'two', 'three']) log.info(message, 10);
    log.end('complete', 'end');
    const events = await readAll(log);
    for (const [index, { id, type }] of events.entries()) {
      if (type === 'info') expect(await readAll(log, id)).toEqual(events.slice(index + 1));
    }
  });

  it('after the terminal event is told it once more, and does not wait for ever', async () => {
    const log = aLog();
    log.info('one', 10);
    log.end('failed', 'end');
    const [, end] = await readAll(log);
    expect(await readAll(log, end?.id)).toEqual([end]);
  });

  it('from beyond the end does not wait for ever either', async () => {
    const log = aLog();
    log.info('one', 10);
    log.end('complete', 'end');
    const [first] = await readAll(log);
    expect(texts(await readAll(log, first?.id.replace(/\.1\.10$/, '.999999999.10')))).toEqual(['end']);
    const open = aLog();
    open.info('one', 10);
    const reading = readAll(open, first?.id.replace(/\.1\.10$/, '.7.10'));
    open.info('two', 20);
    open.end('complete', 'end');
    expect(texts(await reading)).toEqual(['two', 'end']);
  });

  it('after a restart is told only what goes beyond what it has seen, and always the end', async () => {
    const log = aLog();
    log.info('begun again', 1);
    log.info('still at it', 30);
    log.info('further', 31);
    log.error('broken');
    log.end('failed', 'end');
    const id = (await readAll(log))[1]!.id;
    expect(texts(await readAll(log, ofAnotherProcess(id)))).toEqual(['further', 'broken', 'end']);
  });

  it('to another replica is told what that one knows beyond it, and one end, also when both began in the same millisecond', async () => {
    const [here, there] = [aLog(), aLog()];
    for (const log of [here, there]) log.info('begun', 1);
    here.info('made', 30);
    there.info('Scheduled', 20);
    there.info('up', 75);
    there.end('complete', 'end');
    here.end('complete', 'end');
    const [begun, made, end] = await readAll(here);
    expect(texts(await readAll(there, begun?.id))).toEqual(['Scheduled', 'up', 'end']);
    expect(texts(await readAll(there, made?.id))).toEqual(['up', 'end']);
    expect(texts(await readAll(there, end?.id))).toEqual(['up', 'end']);
  });

  it.each([
    ['another spawn', 'another.spawn.x.3.50'],
    ['another operation', `${SPAWN}.delete.x.3.50`],
    ['nothing of ours', '42'],
    ['nothing', ''],
  ])('from %s is told everything', async (_what, id) => {
    const log = aLog();
    log.info('one', 10);
    log.end('complete', 'end');
    expect(texts(await readAll(log, id))).toEqual(['one', 'end']);
  });

  it('ends when it goes, and the others read on', async () => {
    const log = aLog();
    const gone = new AbortController();
    const leaving = readAll(log, undefined, gone.signal);
    const staying = readAll(log);
    await Promise.resolve();
    gone.abort();
    expect(await leaving).toEqual([]);
    expect(await readAll(log, undefined, gone.signal)).toEqual([]);
    log.end('complete', 'end');
    expect(texts(await staying)).toEqual(['end']);
  });
});

describe('an event id', () => {
  it('is read back, and nothing else is taken for one', () => {
    expect(parseEventId(`${SPAWN}.delete.mabc12.7.85`)).toEqual({
      spawnId: SPAWN,
      kind: 'delete',
      epoch: 'mabc12',
      sequence: 7,
      progress: 85,
    });
    for (const id of [
      undefined,
      '',
      'x',
      `${SPAWN}.spawn.a.1`,
      `${SPAWN}.build.a.1.1`,
      `${'x'.repeat(65)}.spawn.a.1.1`,
      `${SPAWN}.spawn.a.-1.1`,
      `${SPAWN}.spawn.a.1.1\n`,
    ]) {
      expect(parseEventId(id)).toBeUndefined();
    }
    fc.assert(fc.property(fc.string(), (id) => void parseEventId(id)));
  });
});
