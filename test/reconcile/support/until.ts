import { askAgain } from '../../support/wait-for.ts';

/** One value for the sandbox and one for a real API server, which takes seconds where the sandbox takes milliseconds. */
export function onCluster<T>(sandbox: T, apiServer: T): T {
  return process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver' ? apiServer : sandbox;
}

const PATIENCE_MS = onCluster(10_000, 30_000);
const POLL_MS = 5;

/**
 * Waits until `ask` gives something that is neither undefined nor false.
 *
 * @param what for the message: "until the pod is gone"
 * @throws Error after `timeoutMs`, with what was being waited for
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
): Promise<Exclude<T, undefined | false>> {
  const isWanted = (answer: T) => answer !== undefined && answer !== false;
  const complaint = () => `Waited ${timeoutMs} ms in vain until ${what}`;
  const answer = await askAgain({ ask, isWanted, timeoutMs, intervalMs: POLL_MS, complaint });
  return answer as Exclude<T, undefined | false>;
}
