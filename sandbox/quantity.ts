import { parseQuantity, SUFFIXES } from '../src/domain/kubernetes/quantity.ts';

export { parseQuantity };

/** Kubernetes' own words for a quantity it cannot read. */
export const QUANTITY_ERROR =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

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
