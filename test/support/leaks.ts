import { createHook } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll } from 'vitest';

/**
 * Fails a test file that leaves something behind: a listening server, a connection, a timer, a child process or a
 * rejected promise nobody looked at. What vitest itself holds is there before the file's first test and does not count.
 */
const GRACE_MS = 3_000;
const POLL_MS = 20;
/** What keeps a process alive or a peer waiting. Others (`FSReqCallback`, `MessagePort`) are vitest's own work. */
const HANDLES = new Set(['TCPServerWrap', 'TCPSocketWrap', 'PipeWrap', 'ProcessWrap', 'TLSWrap', 'UDPWrap']);

interface Timer {
  readonly resource: NodeJS.Timeout;
  readonly where: Error;
}

const rejections: unknown[] = [];
/** Listeners that pile up on one object: Node says so once for each. */
const heaps: Error[] = [];
const timers = new Map<number, Timer>();
let baseline = new Map<string, number>();
/** True while this file makes a timer of its own. */
let ours = false;

// Timers are followed one by one: vitest's own come and go, so that a difference of two counts would mean nothing.
const timerHook = createHook({
  init(id, type, _trigger, resource) {
    if (type === 'Timeout' && !ours)
      timers.set(id, { resource: resource as NodeJS.Timeout, where: new Error('created here') });
  },
  destroy(id) {
    timers.delete(id);
  },
  trackPromises: false,
});

beforeAll(() => {
  baseline = countHandles();
  process.on('unhandledRejection', note);
  process.on('warning', noteHeap);
  timerHook.enable();
});

afterAll(async () => {
  const deadline = performance.now() + GRACE_MS;
  let left = leaks();
  while (left.length > 0 && performance.now() < deadline) {
    await pause();
    left = leaks();
  }
  timerHook.disable();
  process.off('unhandledRejection', note);
  process.off('warning', noteHeap);
  if (rejections.length > 0) {
    throw new Error(`${rejections.length} rejected promises were left unhandled`, { cause: rejections[0] });
  }
  if (heaps.length > 0) throw new Error('Listeners pile up on one object', { cause: heaps[0] });
  const [timer] = liveTimers();
  if (left.length > 0) throw new Error(`This file leaves behind: ${left.join(', ')}`, { cause: timer?.where });
  // No time limit of vitest's: that would be a timer, and the loop above has a limit.
}, 0);

function pause(): Promise<void> {
  ours = true;
  const over = delay(POLL_MS);
  ours = false;
  return over;
}

function noteHeap(warning: Error): void {
  if (warning.name === 'MaxListenersExceededWarning') heaps.push(warning);
}

function note(reason: unknown): void {
  rejections.push(reason);
}

/** `2 TCPSocketWrap` for each kind of which there are more than before. */
function leaks(): string[] {
  const live = liveTimers().length;
  const handles = [...countHandles()]
    .map(([kind, number]) => ({ kind, more: number - (baseline.get(kind) ?? 0) }))
    .filter(({ more }) => more > 0)
    .map(({ kind, more }) => `${more} ${kind}`);
  return live === 0 ? handles : [...handles, `${live} Timeout`];
}

function liveTimers(): Timer[] {
  return [...timers.values()].filter(({ resource }) => resource.hasRef());
}

function countHandles(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (HANDLES.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
