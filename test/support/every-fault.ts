import type { Fault } from './fault-proxy.ts';

/** Every fault that the proxy knows of a single call. @param delayMs of an answer that is late, in milliseconds */
export function callFaults(delayMs: number): readonly Fault[] {
  return [
    { status: 500, reason: 'InternalError' },
    { status: 503, reason: 'ServiceUnavailable' },
    { status: 429, reason: 'TooManyRequests', retryAfter: 1 },
    'reset-before',
    'reset-after',
    'duplicate',
    { delayMs },
    'stall',
  ];
}

/** Ways in which a watch ends. One that falls silent is noticed after a minute and a half; that is tested where time can be set. */
export const WATCH_FAULTS = ['truncate', 'reset', 'end', 'gone', 'garbage'] as const;
