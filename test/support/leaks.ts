import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';

/**
 * Fails a test file that leaves something behind: a listening server, a connection, a timer, a child process or a
 * rejected promise nobody looked at. vitest's own pipes and timers are there before the file's first test and do not
 * count.
 */
const GRACE_MS = 3_000;
const POLL_MS = 20;
/** What keeps a process alive or a peer waiting. Others (`FSReqCallback`, `MessagePort`) are vitest's own work. */
const KINDS = new Set(['TCPServerWrap', 'TCPSocketWrap', 'PipeWrap', 'ProcessWrap', 'Timeout', 'TLSWrap', 'UDPWrap']);

const rejections: unknown[] = [];
let baseline = new Map<string, number>();

beforeAll(() => {
  baseline = count();
  process.on('unhandledRejection', note);
});

afterAll(async () => {
  const deadline = performance.now() + GRACE_MS;
  let left = leaks();
  while (left.length > 0 && performance.now() < deadline) {
    await delay(POLL_MS);
    left = leaks();
  }
  process.off('unhandledRejection', note);
  if (rejections.length > 0) {
    throw new Error(`${rejections.length} rejected promises were left unhandled`, { cause: rejections[0] });
  }
  if (left.length > 0) throw new Error(`This file leaves behind: ${left.join(', ')}`);
});

function note(reason: unknown): void {
  rejections.push(reason);
}

/** `2 TCPSocketWrap` for each kind of which there are more than before. */
function leaks(): string[] {
  return [...count()]
    .map(([kind, number]) => ({ kind, more: number - (baseline.get(kind) ?? 0) }))
    .filter(({ more }) => more > 0)
    .map(({ kind, more }) => `${more} ${kind}`);
}

function count(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (KINDS.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
