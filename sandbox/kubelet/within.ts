import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What is waited for, or undefined when it takes longer than `ms`. Its signal aborts as soon as nobody waits any more.
 *
 * @throws what `wait` throws; the reason of `signal` when that aborts
 */
export async function within<T>(
  ms: number,
  wait: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const over = new AbortController();
  const either = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
  try {
    return await Promise.race([wait(either), sleep(ms, undefined, { signal: either })]);
  } finally {
    over.abort();
  }
}
