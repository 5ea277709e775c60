import { expect, it } from 'vitest';
import { raceAbort } from '../../src/util/abort.ts';

it('gives what the promise comes to', async () => {
  const { signal } = new AbortController();
  await expect(raceAbort(Promise.resolve('done'), signal)).resolves.toBe('done');
  await expect(raceAbort(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
});

it('gives up as soon as the signal aborts, with its reason', async () => {
  const abort = new AbortController();
  const waiting = raceAbort(new Promise(() => undefined), abort.signal);
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});

it('prefers the reason of a signal that has aborted to a promise that has settled', async () => {
  const signal = AbortSignal.abort(new Error('too late'));
  await expect(raceAbort(Promise.resolve('done'), signal)).rejects.toThrow('too late');
});

it('leaves no rejection behind, also when the signal has aborted before', async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  await expect(raceAbort(promise, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  // The suite fails on a rejection that nobody handles.
  reject(new Error('nobody listens any more'));
  await new Promise((resolve) => setImmediate(resolve));
});
