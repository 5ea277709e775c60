import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Entry, EventLog } from '../../src/reconcile/event-log.ts';

type Said = Entry & { readonly text: string };

const NEVER = new AbortController().signal;
const say = (log: EventLog<Said>, text: string) => log.append((sequence) => ({ sequence, text }));
const end = (log: EventLog<Said>, text: string) => log.end((sequence) => ({ sequence, text }));

async function read(log: EventLog<Said>, from = 1, signal = NEVER): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of log.follow(from, signal)) texts.push(text);
  return texts;
}

describe('an event log', () => {
  it('gives each reader everything in order, up to one terminal event, whenever it comes', async () => {
    const log = new EventLog<Said>();
    say(log, 'a');
    const early = read(log);
    await Promise.resolve();
    say(log, 'b');
    end(log, 'end');
    end(log, 'again');
    say(log, 'too late');
    expect(await early).toEqual(['a', 'b', 'end']);
    expect(await read(log)).toEqual(['a', 'b', 'end']);
    expect([log.ended, log.last, log.readers]).toEqual([true, 3, 0]);
  });

  it('holds nothing of a reader that has left, also when nothing happens', async () => {
    const log = new EventLog<Said>();
    for (let reconnect = 0; reconnect < 1_200; reconnect += 1) {
      const gone = new AbortController();
      const reading = read(log, 1, gone.signal);
      await Promise.resolve();
      gone.abort();
      await reading;
    }
    expect([log.readers, log.waiting]).toEqual([0, 0]);
  });

  it('lets a reader go that leaves while other work has its turn', async () => {
    const log = new EventLog<Said>();
    for (let entry = 0; entry < 255; entry += 1) say(log, `${entry}`);
    const gone = new AbortController();
    const reading = read(log, 1, gone.signal);
    setImmediate(() => gone.abort());
    expect(await reading).toHaveLength(255);
  });

  it('has an epoch that no other log has', () => {
    const epochs = new Set(Array.from({ length: 1_000 }, () => new EventLog().epoch));
    expect(epochs.size).toBe(1_000);
    for (const epoch of epochs) expect(epoch).toMatch(/^[0-9a-f]{16}$/);
  });

  it('knows its own places only, and never makes a reader wait for what cannot come', () => {
    const log = new EventLog<Said>();
    const { epoch } = log;
    say(log, 'a');
    expect(log.after(undefined)).toBeUndefined();
    expect(log.after({ epoch: new EventLog().epoch, sequence: 1 })).toBeUndefined();
    expect([0, 1, 7].map((sequence) => log.after({ epoch, sequence }))).toEqual([1, 2, 2]);
    end(log, 'end');
    expect([0, 1, 2, 7].map((sequence) => log.after({ epoch, sequence }))).toEqual([1, 2, 2, 2]);
  });

  it('tells every entry once to a reader that breaks off and comes back anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('say', 'break'), { maxLength: 60 }), async (steps) => {
        const log = new EventLog<Said>();
        const seen: Said[] = [];
        let stop = new AbortController();
        const follow = async (signal: AbortSignal) => {
          const last = seen.at(-1);
          const from = log.after(last && { epoch: log.epoch, sequence: last.sequence });
          for await (const entry of log.follow(from ?? 1, signal)) seen.push(entry);
        };
        let reading = follow(stop.signal);
        for (const [index, step] of steps.entries()) {
          if (step === 'say') say(log, `${index}`);
          else {
            stop.abort();
            await reading;
            stop = new AbortController();
            reading = follow(stop.signal);
          }
        }
        end(log, 'end');
        await reading;
        expect(seen.map(({ sequence }) => sequence)).toEqual(seen.map((_, index) => index + 1));
        expect(seen.filter(({ text }) => text === 'end')).toEqual([seen.at(-1)]);
      }),
    );
  });
});
