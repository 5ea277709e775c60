import { expect, it } from 'vitest';
import { raceAbort } from '../../../src/util/abort.ts';
import { within } from '../../../sandbox/kubelet/within.ts';

const never = new Promise<never>(() => undefined);

it('gives what is waited for, and leaves no timer behind', async () => {
  await expect(within(60_000, () => Promise.resolve('done'))).resolves.toBe('done');
});

it('gives nothing when it takes too long, and says so to whatever waits', async () => {
  const signals: AbortSignal[] = [];
  const wait = (signal: AbortSignal) => {
    signals.push(signal);
    return never;
  };
  await expect(within(5, wait)).resolves.toBeUndefined();
  expect(signals[0]?.aborted).toBe(true);
});

it('ends with the reason of the signal from outside', async () => {
  const abort = new AbortController();
  const waiting = within(60_000, (signal) => raceAbort(never, signal), abort.signal);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
