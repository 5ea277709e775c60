import { withDeadline } from './deadline.ts';

/**
 * What the promise comes to, or the signal's reason as soon as it aborts, also where it has aborted before. The promise
 * itself goes on; when it rejects after that, nobody is told.
 */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** What the promise comes to, or the error that `late` makes after so many milliseconds. The promise itself goes on. */
export function withTimeout<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return withDeadline({ ms, late }, (signal) => raceAbort(promise, signal));
}
