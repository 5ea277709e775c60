const DAY = 24 * 60 * 60 * 1000;
const THURSDAY = 4;

/** UTC midnight of a day, in milliseconds since the epoch; undefined when there is no such day. */
export function dayOf(year: number, month: number, day: number): number | undefined {
  const date = new Date(Date.UTC(year, month - 1, day));
  // Date.UTC takes years below 100 for those of the twentieth century.
  const isThere = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return isThere ? date.getTime() : undefined;
}

/** UTC midnight of the Thursday of an ISO week, by which the week belongs to its year; undefined when there is no such week. */
export function thursdayOf(year: number, week: number): number | undefined {
  const fourth = dayOf(year, 1, 4);
  if (fourth === undefined || week < 1) return undefined;
  // The 4th of January is always in the first week.
  const weekday = new Date(fourth).getUTCDay() || 7;
  const thursday = fourth + (THURSDAY - weekday + (week - 1) * 7) * DAY;
  return new Date(thursday).getUTCFullYear() === year ? thursday : undefined;
}
