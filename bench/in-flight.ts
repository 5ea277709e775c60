/** What one item took, and when the whole batch was done. */
export interface Batch<R> {
  readonly results: readonly R[];
  /** Milliseconds of each item, in the order of the items. */
  readonly latencies: readonly number[];
  readonly seconds: number;
  readonly perSecond: number;
}

/** Runs `work` for every item with never more than `limit` at once. */
export async function inFlight<T, R>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<Batch<R>> {
  const results: R[] = [];
  const latencies: number[] = [];
  const start = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const index = next;
      next += 1;
      if (index >= items.length) return;
      const begin = performance.now();
      results[index] = await work(items[index]!);
      latencies[index] = performance.now() - begin;
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  const seconds = (performance.now() - start) / 1000;
  return { results, latencies, seconds, perSecond: items.length / seconds };
}
