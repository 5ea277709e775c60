import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BuildLog } from '../../../../src/reconcile/builds/log/build-log.ts';
import { LogBudget } from '../../../../src/reconcile/builds/log/log-budget.ts';

const MIB = 2 ** 20;
const NEVER = new AbortController().signal;
const FAILED = { type: 'failed', reason: 'BuildFailed', message: 'It failed.' } as const;

function fill(log: BuildLog, bytes: number): void {
  const text = 'x'.repeat(871);
  for (let said = 0; said < bytes; said += 1_000) log.append({ text });
}

const firstAndLast = (log: BuildLog) => [log.text().next().value as string, [...log.text()].at(-1)];

describe('the budget of the logs in memory', () => {
  it('holds for sixteen full logs that are over, and for those that go on', () => {
    const budget = new LogBudget(8 * MIB);
    const logs = Array.from({ length: 24 }, (_, index) => new BuildLog(`${index}`, { size: 4 * MIB, budget }));
    for (const [index, log] of logs.entries()) {
      log.append({ text: 'the first' });
      fill(log, 4 * MIB);
      log.append({ text: 'the last' });
      if (index < 16) log.end(FAILED);
      expect(budget.used).toBeLessThanOrEqual(8 * MIB);
    }
    expect(logs.reduce((sum, { size }) => sum + size, 0)).toBe(budget.used);
    for (const log of logs) expect(firstAndLast(log)).toEqual(['the first', 'the last']);
  });

  it('leaves ordinary logs whole when one build floods its own', () => {
    const budget = new LogBudget(2 * MIB);
    const ordinary = Array.from({ length: 10 }, (_, index) => new BuildLog(`${index}`, { size: 4 * MIB, budget }));
    for (const log of ordinary) fill(log, 50_000);
    const flood = new BuildLog('flood', { size: 4 * MIB, budget });
    fill(flood, 16 * MIB);
    for (const log of ordinary) expect([...log.text()]).toHaveLength(50);
    expect([...flood.text()].filter((text) => text.startsWith('[…'))).toHaveLength(1);
  });

  it('is given back by a log that nobody needs, once those who read it have gone', async () => {
    const budget = new LogBudget(MIB);
    const log = new BuildLog('a', { size: MIB, budget });
    fill(log, 10_000);
    const reading = log.read(undefined, NEVER);
    await reading.next();
    log.discard();
    expect(budget.used).toBe(log.size);
    await reading.return(undefined);
    expect(budget.used).toBe(0);
    fill(log, 10_000);
    expect(budget.used).toBe(0);
  });

  it('is never exceeded by more than the last lines of its logs, whatever they do', () => {
    const step = fc.record({ log: fc.nat(5), size: fc.nat(3_000), discard: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1_000, max: 50_000 }), (steps, most) => {
        const budget = new LogBudget(most);
        const logs = Array.from({ length: 6 }, (_, index) => new BuildLog(`${index}`, { size: 20_000, budget }));
        const discarded = new Set<BuildLog>();
        let longest = 0;
        for (const { log: index, size, discard } of steps) {
          const log = logs[index]!;
          longest = Math.max(longest, size + 200);
          log.append({ text: 'x'.repeat(size) });
          if (discard && size < 300) {
            log.discard();
            discarded.add(log);
          }
          const held = logs.filter((each) => !discarded.has(each)).reduce((sum, each) => sum + each.size, 0);
          expect(budget.used).toBe(held);
          expect(held).toBeLessThanOrEqual(Math.max(most, logs.length * longest));
        }
      }),
    );
  });
});
