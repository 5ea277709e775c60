import { setTimeout as sleep } from 'node:timers/promises';

/** Waits so many milliseconds; with none it does not even yield. @throws AbortError */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal });
}
