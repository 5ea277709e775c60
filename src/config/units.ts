import { z } from 'zod';

const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/;
const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};
const MEMORY = /^(\d+(?:\.\d+)?)([kKMGTP]i?|)$/;
const CPU = /^(?:\d+m|\d+(?:\.\d{1,3})?)$/;

/** Milliseconds of `90s`, `1h30m`, `500ms`; a bare number is seconds. Undefined when it is none of these. */
export function parseDuration(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) && text >= 0 ? Math.round(text * 1000) : undefined;
  if (!DURATION.test(text)) return undefined;
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    seconds += Number(amount) * (SECONDS[unit ?? ''] ?? Number.NaN);
  }
  return Math.round(seconds * 1000);
}

/** Bytes of `4Gi`, `250M`, `1.5G`; a bare number is bytes. Undefined when it is none of these, or no whole number of bytes. */
export function parseMemory(text: string | number): number | undefined {
  const [, amount, unit] = MEMORY.exec(String(text)) ?? [];
  const bytes = Number(amount) * (BYTES[unit ?? '?'] ?? Number.NaN);
  return Number.isSafeInteger(Math.ceil(bytes)) ? Math.ceil(bytes) : undefined;
}

/** Cores of `500m`, `2`, `0.5`. Undefined when it is none of these; Kubernetes knows no less than a thousandth. */
export function parseCpu(text: string | number): number | undefined {
  const written = String(text);
  if (!CPU.test(written)) return undefined;
  return written.endsWith('m') ? Number(written.slice(0, -1)) / 1000 : Number(written);
}

/** Milliseconds, written `90s`, `10m`, `1h30m` or as a number of seconds. */
export const duration = measure(parseDuration, 'duration', 'a duration such as 90s, 10m or 1h30m', 0);
/** As `duration`, and more than nothing. */
export const positiveDuration = measure(
  parseDuration,
  'duration',
  'a duration above zero, such as 90s, 10m or 1h30m',
  1,
);
/** Bytes, written `4Gi`, `250M` or as a number of bytes. */
export const memory = measure(
  parseMemory,
  'memory',
  'an amount of memory above zero, such as 4Gi, 250M or a number of bytes',
  1,
);
/** Cores, written `500m`, `2` or `0.5`. */
export const cpu = measure(parseCpu, 'CPU', 'an amount of CPU above zero, such as 500m, 2 or 0.5', 0.001);

function measure(parse: (text: string | number) => number | undefined, title: string, expected: string, least: number) {
  return z
    .custom<string | number>((value) => typeof value === 'string' || typeof value === 'number', {
      error: `expected ${expected}`,
      abort: true,
    })
    .transform((value, context): number => {
      const parsed = parse(value);
      if (parsed !== undefined && parsed >= least) return parsed;
      context.issues.push({ code: 'custom', message: `expected ${expected}`, input: value });
      return z.NEVER;
    })
    .meta({ title });
}
