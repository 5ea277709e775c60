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
const CPU = /^(\d+(?:\.\d+)?)([munk]?)$/;
const CORES: Readonly<Record<string, number>> = { '': 1, m: 1e3, u: 1e6, n: 1e9, k: 1e-3 };
/** Bare numbers are seconds; more than a day of them was meant to be something else. */
const MOST_BARE_SECONDS = 24 * 60 * 60;
/** No program runs in less: a bare number of that size was meant to be something else. */
const LEAST_LAB_BYTES = 2 ** 20;

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

/** Cores of `500m`, `2`, `0.5`, rounded up to a thousandth, as Kubernetes does. Undefined when it is none of these. */
export function parseCpu(text: string | number): number | undefined {
  const [, amount, unit = ''] = CPU.exec(String(text)) ?? [];
  if (amount === undefined) return undefined;
  // A thousandth of a thousandth more or less is what floating point makes of a decimal number.
  const thousandths = Math.ceil((Number(amount) / (CORES[unit] ?? Number.NaN)) * 1000 - 1e-6);
  return Number.isSafeInteger(thousandths) ? thousandths / 1000 : undefined;
}

/** Milliseconds, written `90s`, `10m`, `1h30m` or as a number of seconds. */
export const duration = measure(parseDuration, {
  title: 'duration',
  pattern: DURATION,
  expected: 'a duration such as 90s, 10m or 1h30m',
  least: 0,
  hint: hintDuration,
});
/** As `duration`, and more than nothing. */
export const positiveDuration = measure(parseDuration, {
  title: 'duration',
  pattern: DURATION,
  expected: 'a duration above zero, such as 90s, 10m or 1h30m',
  least: 1,
  hint: hintDuration,
});
export const AMOUNT_OF_MEMORY = {
  title: 'memory',
  pattern: MEMORY,
  expected: 'an amount of memory, such as 4Gi, 250M or a number of bytes',
};
/** Bytes, written `4Gi`, `250M` or as a number of bytes. */
export const memory = measure(parseMemory, {
  ...AMOUNT_OF_MEMORY,
  least: 1,
  hint: hintMemory,
});
/** As `memory`, and enough for something to run in. */
export const labMemory = measure(parseMemory, {
  ...AMOUNT_OF_MEMORY,
  least: LEAST_LAB_BYTES,
  hint: (written) =>
    /^\d+(?:\.\d+)?$/.test(written) && Number(written) < LEAST_LAB_BYTES && Number(written) > 0
      ? `without a unit it is bytes: was ${written}Gi meant?`
      : hintMemory(written),
});
export const AMOUNT_OF_CPU = { title: 'CPU', expected: 'an amount of CPU, such as 500m, 2 or 0.5' };

/** Cores, written `500m`, `2` or `0.5`. */
export const cpu = measure(parseCpu, {
  pattern: CPU,
  ...AMOUNT_OF_CPU,
  least: 0.001,
  hint: hintCpu,
});

/** An amount as a person writes it, by the title of what it measures. */
export function writeAmount(title: string | undefined, value: number): string | number {
  if (title === 'memory') return `${String(value / 2 ** 20)}Mi`;
  if (title !== 'duration') return value;
  if (value % 3_600_000 === 0) return `${String(value / 3_600_000)}h`;
  return value % 60_000 === 0 ? `${String(value / 60_000)}m` : `${String(value / 1000)}s`;
}

function hintDuration(written: string): string | undefined {
  if (/^\d+$/.test(written) && Number(written) > MOST_BARE_SECONDS) {
    return `a number without a unit is seconds: write ${written}ms, or ${written}s where seconds were meant`;
  }
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)\s*(s|m|h|d|w)[a-z]*$/i.exec(written) ?? [];
  if (amount !== undefined && !DURATION.test(written)) return `was ${amount}${unit.toLowerCase()} meant?`;
  return undefined;
}

/** Cores with a word, as people write them, and nothing. */
function hintCpu(written: string): string | undefined {
  const [, amount] = /^(\d+(?:\.\d+)?)\s*v?(?:cpus?|cores?)$/i.exec(written) ?? [];
  if (amount !== undefined) return `was ${amount} meant?`;
  return Number(written) === 0 ? 'more than none is needed' : undefined;
}

/** Units as people write them. */
function hintMemory(written: string): string | undefined {
  const [, amount, unit = '', binary] = /^(\d+(?:\.\d+)?)\s*([kmgtp])(i?)(?:b|bytes)?$/i.exec(written) ?? [];
  if (amount === undefined) return undefined;
  return `was ${amount}${binary === '' ? `${unit.toUpperCase()} or ${amount}${unit.toUpperCase()}i` : `${unit.toUpperCase()}i`} meant?`;
}

interface Measure {
  readonly title: string;
  /** How it is written, where it is text. */
  readonly pattern: RegExp;
  /** What is expected, for whoever wrote something else. */
  readonly expected: string;
  readonly least: number;
  /** What may have been meant. */
  readonly hint: (written: string) => string | undefined;
}

function measure(
  parse: (text: string | number) => number | undefined,
  { title, pattern, expected, least, hint }: Measure,
) {
  return z
    .custom<string | number>((value) => typeof value === 'string' || typeof value === 'number', {
      error: ({ input }) => `${input === undefined ? 'missing: ' : ''}expected ${expected}`,
      abort: true,
    })
    .transform((value, context): number => {
      const parsed = parse(value);
      const meant = hint(String(value));
      const isBare = typeof value === 'number' && title === 'duration' && meant !== undefined;
      if (parsed !== undefined && parsed >= least && !isBare) return parsed;
      const message = `expected ${expected}${meant === undefined ? '' : `; ${meant}`}`;
      context.issues.push({ code: 'custom', message, input: value });
      return z.NEVER;
    })
    .meta({ title, type: ['string', 'number'], pattern: pattern.source, minimum: 0 });
}
