import { setTimeout as delay } from 'node:timers/promises';

export interface Question<T> {
  readonly ask: () => Promise<T> | T;
  readonly isWanted: (answer: T) => boolean;
  readonly timeoutMs: number;
  /** Pause between two tries, in milliseconds. */
  readonly intervalMs: number;
  /** What the error says, from the last answer. */
  readonly complaint: (answer: T) => string;
}

/** Asks again and again until the answer is as wanted. @throws Error when the deadline passes; what `ask` throws */
export async function askAgain<T>({ ask, isWanted, timeoutMs, intervalMs, complaint }: Question<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (performance.now() > deadline) throw new Error(complaint(answer));
    await delay(intervalMs);
  }
}

/**
 * Asks again and again until the answer is not undefined.
 *
 * @throws Error naming `what` when the deadline (milliseconds) passes
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  intervalMs = 20,
): Promise<T> {
  const isWanted = (answer: T | undefined) => answer !== undefined;
  const complaint = () => `Waited ${timeoutMs} ms in vain for ${what}`;
  return (await askAgain({ ask, isWanted, timeoutMs, intervalMs, complaint })) as T;
}
