import type { PullWindow } from './assess.ts';

const DAY_MINUTES = 24 * 60;
const MINUTE_MS = 60_000;

/**
 * Milliseconds until pulls may begin, 0 while they may. On the day on which clocks change between now and then it may be an hour off;
 * it is asked again at least every ten minutes.
 */
export function untilWindow({ before, timeZone, lead }: PullWindow, now: number): number {
  const left = (before - minuteOfDay(now, timeZone) + DAY_MINUTES) % DAY_MINUTES;
  // Exactly at that time the window is over.
  const untilEnd = (left <= 0 ? DAY_MINUTES : left) * MINUTE_MS;
  return Math.max(untilEnd - lead, 0);
}

/** With the fraction that the seconds are. */
function minuteOfDay(now: number, timeZone: string): number {
  const parts = formatOf(timeZone).formatToParts(now);
  const [hours = 0, minutes = 0, seconds = 0] = ['hour', 'minute', 'second'].map((type) =>
    Number(parts.find((part) => part.type === type)?.value),
  );
  return hours * 60 + minutes + seconds / 60;
}

let latest: { readonly timeZone: string; readonly format: Intl.DateTimeFormat } | undefined;

/** Making one takes longer than using it, and there is one configuration. */
function formatOf(timeZone: string): Intl.DateTimeFormat {
  if (latest?.timeZone !== timeZone) {
    const options = { timeZone, hourCycle: 'h23', hour: 'numeric', minute: 'numeric', second: 'numeric' } as const;
    latest = { timeZone, format: new Intl.DateTimeFormat('en', options) };
  }
  return latest.format;
}
