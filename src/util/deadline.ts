export interface DeadlineOptions {
  /** Milliseconds. */
  readonly ms: number;
  /** Ends it earlier. */
  readonly signal?: AbortSignal | undefined;
  /** Why the signal of the work aborts when the time is over; a DOMException `TimeoutError` otherwise. */
  readonly late?: () => Error;
}

/**
 * Does something that has a deadline: its signal aborts when the time is over, or with the caller's signal. The work has to
 * heed its signal; what it returns or throws is the result.
 *
 * A timer of its own and not `AbortSignal.timeout`: the timers of those live on after the work, thousands of them in a rush.
 */
export async function withDeadline<T>(
  { ms, signal, late = timeout }: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(late()), ms);
  try {
    return await work(signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]));
  } finally {
    clearTimeout(timer);
  }
}

function timeout(): Error {
  return new DOMException('the deadline has passed', 'TimeoutError');
}
