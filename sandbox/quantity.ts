/** Kubernetes' own words for a quantity it cannot read. */
export const QUANTITY_ERROR =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The number a quantity such as `500m` or `2Gi` stands for, or undefined when it is none. */
export function parseQuantity(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const parsed = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(String(value));
  if (parsed === null) return undefined;
  const [, number = '', exponent, suffix = ''] = parsed;
  return Number(number) * (exponent === undefined ? (SUFFIXES[suffix] ?? 1) : 10 ** Number(exponent));
}

/** As `parseQuantity`, for a value that has been checked: anything else counts as 0. */
export function quantity(value: unknown): number {
  return parseQuantity(value) ?? 0;
}

/** The shortest exact way to write a number as a quantity: `1500m`, `3Gi`, `2`. */
export function formatQuantity(number: number): string {
  if (!Number.isInteger(number)) {
    const milli = Math.round(number * 1000);
    return milli % 1000 === 0 ? String(milli / 1000) : `${String(milli)}m`;
  }
  for (const suffix of ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']) {
    const unit = SUFFIXES[suffix] ?? 1;
    if (number !== 0 && number % unit === 0) return `${String(number / unit)}${suffix}`;
  }
  return String(number);
}
