import { unlessAborted } from './unless-aborted.ts';

/** What the promise comes to, or the error that `late` makes after so many milliseconds. The promise itself goes on. */
export async function unlessLate<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(late()), ms);
  try {
    return await unlessAborted(promise, over.signal);
  } finally {
    clearTimeout(timer);
  }
}
