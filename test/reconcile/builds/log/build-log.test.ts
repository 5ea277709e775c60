import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BuildEvent } from '../../../../src/domain/build/build.ts';
import { BuildLog } from '../../../../src/reconcile/builds/log/build-log.ts';
import { parseBuildEventId } from '../../../../src/reconcile/builds/log/build-log-position.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const NEVER = new AbortController().signal;
const READY = { type: 'ready', message: 'Done', image: 'r/a:1', digest: 'sha256:1', cached: false } as const;
const FAILED = { type: 'failed', reason: 'BuildFailed', message: 'It failed.' } as const;

const aLog = ({ size = 2 ** 20, createdAt = 1 } = {}) => new BuildLog(ID, { size, createdAt });
const say = (log: BuildLog, ...texts: string[]) => texts.forEach((text) => log.append({ text }));

async function readAll(log: BuildLog, lastEventId?: string, signal = NEVER): Promise<BuildEvent[]> {
  const events: BuildEvent[] = [];
  for await (const event of log.read(lastEventId, signal)) events.push(event);
  return events;
}

async function readUntil(log: BuildLog, count: number): Promise<BuildEvent[]> {
  const events: BuildEvent[] = [];
  for await (const event of log.read(undefined, NEVER)) if (events.push(event) === count) break;
  return events;
}

const told = (events: BuildEvent[]) =>
  events.map((event) =>
    event.type === 'log' ? event.text.trimEnd() : event.type === 'phase' ? event.phase : event.type,
  );

/** A log of so many lines of a hundred bytes and its end. */
function aLongLog(count: number, size: number): BuildLog {
  const log = aLog({ size });
  for (let line = 1; line <= count; line += 1) log.append({ text: `${line} `.padEnd(99, '.') });
  return log;
}

describe('the log of a build', () => {
  it('tells everything from its start to its one terminal event', async () => {
    const log = aLog();
    log.phase('queued', 'Waiting', 2);
    log.phase('queued', 'Waiting', 2);
    log.phase('queued', 'Waiting', 1);
    log.phase('building', 'Building');
    say(log, '{"message": "Step 1\\n", "phase": "building"}', 'plain');
    log.end(READY);
    log.end(FAILED);
    log.phase('failed', 'too late');
    say(log, 'too late');
    const events = await readAll(log);
    expect(events.map((event) => ({ ...event, id: '' }))).toEqual([
      { id: '', type: 'phase', phase: 'queued', message: 'Waiting', position: 2 },
      { id: '', type: 'phase', phase: 'queued', message: 'Waiting', position: 1 },
      { id: '', type: 'phase', phase: 'building', message: 'Building' },
      { id: '', type: 'log', line: 1, phase: 'building', text: 'Step 1\n' },
      { id: '', type: 'log', line: 2, phase: 'unknown', text: 'plain\n' },
      { id: '', ...READY },
    ]);
    expect([log.ended, log.lines, log.readers, log.lastPhase]).toEqual([true, 2, 0, 'building']);
    expect([...log.text()]).toEqual(['Step 1', 'plain']);
  });

  it('gives a thousand readers every line, whenever they come', async () => {
    const log = aLog();
    say(log, 'a');
    const readers = Array.from({ length: 1_000 }, () => readAll(log));
    await Promise.resolve();
    expect(log.readers).toBe(1_000);
    say(log, 'b', 'c');
    await Promise.resolve();
    log.end(FAILED);
    for (const events of await Promise.all(readers)) expect(told(events)).toEqual(['a', 'b', 'c', 'failed']);
    expect(log.readers).toBe(0);
  });

  it('goes on exactly after the event that a reader has seen last', async () => {
    const log = aLog();
    log.phase('queued', 'q');
    say(log, 'a', 'b');
    log.phase('building', 'b');
    say(log, 'c');
    log.end(READY);
    const events = await readAll(log);
    for (const [index, { id }] of events.entries()) {
      const rest = index === events.length - 1 ? events.slice(index) : events.slice(index + 1);
      expect(await readAll(log, id)).toEqual(rest);
    }
  });

  it('gives a reader of a process before it the lines it lacks and the phase that holds, each once', async () => {
    const tell = (log: BuildLog, lines: number) => {
      log.phase('queued', 'q');
      say(log, ...Array.from({ length: lines }, (_, index) => `line ${index + 1}`));
    };
    const before = aLog();
    tell(before, 10);
    const stop = new AbortController();
    const seen: BuildEvent[] = [];
    for await (const event of before.read(undefined, stop.signal)) if (seen.push(event) === 8) stop.abort();
    const after = aLog();
    tell(after, 4);
    after.phase('building', 'b');
    // It has read less of the log than the reader, breaks off with it once more, and reads on.
    const again: BuildEvent[] = [];
    for await (const event of after.read(seen.at(-1)!.id, NEVER)) if (again.push(event) === 1) break;
    say(after, ...Array.from({ length: 6 }, (_, index) => `line ${index + 5}`));
    after.end(READY);
    const rest = await readAll(after, again.at(-1)!.id);
    expect(told([...seen, ...again, ...rest])).toEqual([
      'queued',
      ...Array.from({ length: 7 }, (_, index) => `line ${index + 1}`),
      'building',
      'line 8',
      'line 9',
      'line 10',
      'ready',
    ]);
  });

  it('does not say of a build that it is where a reader of a process before it has seen it pass', async () => {
    const before = aLog();
    before.phase('fetching', 'f');
    say(before, 'line 1', 'line 2');
    before.phase('building', 'b');
    say(before, 'line 3');
    const seen: BuildEvent[] = [];
    for await (const event of before.read(undefined, NEVER)) if (seen.push(event) === 5) break;
    const after = aLog();
    // It has not read any line yet when it is asked.
    after.phase('fetching', 'f');
    const rest = readAll(after, seen.at(-1)!.id);
    await new Promise((resolve) => setImmediate(resolve));
    say(after, 'line 1', 'line 2', 'line 3', 'line 4');
    after.phase('building', 'b');
    after.phase('pushing', 'p');
    after.end(READY);
    expect(told(await rest)).toEqual(['line 4', 'building', 'pushing', 'ready']);
  });

  it('is told from its start to whoever comes from another build, also one of the same id', async () => {
    const earlier = aLog({ createdAt: 5 });
    say(earlier, 'a', 'b');
    earlier.end(FAILED);
    const [, last] = await readAll(earlier);
    const log = aLog({ createdAt: 6 });
    say(log, 'c');
    log.end(READY);
    for (const id of [last!.id, 'nonsense', '', `${ID}.1-2.3`])
      expect(told(await readAll(log, id))).toEqual(['c', 'ready']);
  });

  it('keeps the beginning and the end of a long log, and says how much is missing', async () => {
    const log = aLongLog(1_000, 100 * 228);
    log.end(READY);
    const events = await readAll(log);
    const lines = events.flatMap((event) => (event.type === 'log' ? [event] : []));
    const at = lines.findIndex(({ text }) => text.startsWith('[…'));
    expect(lines.length).toBeGreaterThan(90);
    expect(lines.length).toBeLessThan(102);
    const missing = lines[at + 1]!.line - lines[at - 1]!.line - 1;
    expect(lines[at]!.text).toBe(`[… ${missing} lines are not kept …]\n`);
    expect(lines.filter((_, index) => index !== at).every(({ line, text }) => text.startsWith(`${line} `))).toBe(true);
    expect(lines.at(-1)!.line).toBe(1_000);
    expect(events.at(-1)!.type).toBe('ready');
    expect(await readAll(log, lines[at]!.id)).toEqual(events.slice(at + 1));
  });

  it('gives a reader that keeps up every line, also beyond what is kept', async () => {
    const log = aLog({ size: 2_000 });
    const reading = readAll(log);
    for (let line = 1; line <= 500; line += 1) {
      log.append({ text: `line ${line}` });
      await new Promise((resolve) => setImmediate(resolve));
    }
    log.end(READY);
    expect(told(await reading)).toEqual([...Array.from({ length: 500 }, (_, index) => `line ${index + 1}`), 'ready']);
  });

  it('says after the gap which phase holds', async () => {
    const log = aLog({ size: 4_000 });
    for (let line = 1; line <= 100; line += 1) {
      if (line === 50) log.phase('building', 'b');
      log.append({ text: `line ${line}` });
    }
    log.end(READY);
    const events = await readAll(log);
    const at = events.findIndex((event) => event.type === 'phase');
    expect(told(events)[at - 1]).toMatch(/^\[… \d+ lines/);
    expect(await readAll(log, events[at - 1]!.id)).toEqual(events.slice(at));
    expect(await readAll(log, events[at]!.id)).toEqual(events.slice(at + 1));
  });

  it('tells every line once and in order to a reader that breaks off anywhere, whatever is kept', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant('line' as const), size: fc.nat(300) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('phase' as const, 'break' as const), size: fc.nat(3) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('shrink' as const), size: fc.nat(4_000) }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 120 }),
        fc.integer({ min: 200, max: 8_000 }),
        async (steps, size) => {
          const log = aLog({ size });
          const events: BuildEvent[] = [];
          let stop = new AbortController();
          const read = async () => {
            for await (const event of log.read(events.at(-1)?.id, stop.signal)) events.push(event);
          };
          let reading = read();
          for (const each of steps) {
            if (each.do === 'line') say(log, 'x'.repeat(each.size));
            else if (each.do === 'shrink') log.shrink(each.size);
            else if (each.do === 'phase') log.phase('queued', 'q', each.size);
            else {
              stop.abort();
              await reading;
              stop = new AbortController();
              reading = read();
            }
          }
          log.end(READY);
          await reading;
          let line = 0;
          for (const event of events) {
            if (event.type !== 'log') continue;
            const missing = /^\[… (\d+) lines/.exec(event.text)?.[1] ?? '1';
            expect(event.line).toBe(line + Number(missing));
            line = event.line;
          }
          expect(line).toBe(log.lines);
          expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
          expect(events.filter(({ type }) => type === 'ready')).toEqual([events.at(-1)]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('has room for new lines at its end after it was made to shrink, and tells of all that it has dropped as one gap', async () => {
    const log = aLog();
    log.phase('building', 'b');
    say(log, ...Array.from({ length: 100 }, (_, index) => `line ${index + 1}`));
    const early = await readUntil(log, 60);
    log.shrink(log.size / 2);
    say(log, ...Array.from({ length: 10 }, (_, index) => `line ${index + 101}`));
    log.shrink(log.size / 4);
    log.end(READY);
    const gaps = (events: BuildEvent[]) => told(events).filter((text) => text.startsWith('[…'));
    for (const events of [await readAll(log), [...early, ...(await readAll(log, early.at(-1)!.id))]]) {
      expect(gaps(events)).toHaveLength(1);
      expect(told(events).slice(0, 2)).toEqual(['building', 'line 1']);
      expect(told(events).slice(-2)).toEqual(['line 110', 'ready']);
    }
  });

  it('lets other work have its turn while it is read', async () => {
    const log = aLongLog(20_000, 2 ** 24);
    log.end(READY);
    let turns = 0;
    const other = setInterval(() => (turns += 1), 0);
    await readAll(log);
    clearInterval(other);
    expect(turns).toBeGreaterThan(5);
  });

  it('says why it failed: the words before a step that failed, or what repo2docker gave up with', () => {
    const log = aLog();
    expect(log.failure).toBeNull();
    say(
      log,
      '{"message": "Error: building at STEP \\"RUN false\\":\\u001b[0m exit status 1\\n", "phase": "building"}',
      `{"message": "Error during build: Command '['labwright', 'build', '-q']' returned non-zero exit status 1.", "phase": "failed", "exc_info": "T"}`,
    );
    expect(log.failure).toBe('Error: building at STEP "RUN false": exit status 1');
    say(log, '{"message": "Failed to clone repository!", "phase": "failed"}');
    expect(log.failure).toBe('Failed to clone repository!');
    expect(log.failureReason).toBeNull();
    say(log, '{"message": "Step 1/2: COPY a b failed with exit code 1.", "phase": "failed", "reason": "NoSpace"}');
    expect([log.failureReason, log.failure]).toEqual(['NoSpace', 'Step 1/2: COPY a b failed with exit code 1.']);
  });

  it('keeps the end of a failure that is too long: why is there', () => {
    const log = aLog();
    say(log, `Error: pushing image "${'i'.repeat(2_000)}" to "x": ${'a'.repeat(2_000)}: name unknown`);
    expect(log.failure).toHaveLength(600);
    expect(log.failure).toMatch(/^Error: pushing image .*…a+: name unknown$/);
  });

  it('says what the build did when it failed', () => {
    const log = aLog();
    say(log, '{"message": "Pushing x", "phase": "pushing"}', '{"message": "It failed.", "phase": "failed"}');
    expect(log.lastPhase).toBe('pushing');
  });

  it('refuses what is no event id of a build', () => {
    for (const text of [
      undefined,
      '',
      'a.b.c.d',
      `${ID}.1-2.x.3.0`,
      `${ID}.1-2.3.4`,
      `${ID}.1-2.3.4.5.6`,
      `${ID}.1-2.99999999999.4.0`,
    ]) {
      expect(parseBuildEventId(text)).toBeUndefined();
    }
  });
});
