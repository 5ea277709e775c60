/**
 * Amounts as Kubernetes itself writes them back. An object that is compared with what the API server has must use this
 * form, or every comparison would find a difference.
 */
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const DECIMAL = ['m', '', 'k', 'M', 'G', 'T', 'P', 'E'];

/** CPU from cores: `500m`, `2`. */
export function formatCpu(cores: number): string {
  return scale(Math.round(cores * 1000), 1000, DECIMAL);
}

/** Memory from bytes: `4Gi` where that is exact, `250M` where only that is, else the number. */
export function formatMemory(bytes: number): string {
  const whole = Math.round(bytes);
  return whole % 1024 === 0 ? scale(whole, 1024, BINARY) : scale(whole, 1000, DECIMAL.slice(1));
}

/** Memory from bytes as people write it: of the exact ways the shortest, `14G` and not `13671875Ki`. */
export function showMemory(bytes: number): string {
  const { amount, unit } = shortest(bytes, 0);
  return `${amount}${unit}`;
}

/** The same in a sentence: `14 GB`, `1.5 GiB` and not `1536 MiB`. */
export function describeMemory(bytes: number): string {
  const { amount, unit } = shortest(bytes, 2);
  return `${amount} ${unit}B`;
}

interface Written {
  readonly amount: string;
  readonly unit: string;
}

/** @param places most digits behind the point */
function shortest(bytes: number, places: number): Written {
  const whole = Math.round(bytes);
  const write = (step: number, units: readonly string[]) => written(whole, { step, units, places });
  const [binary, decimal] = [write(1024, BINARY), write(1000, DECIMAL.slice(1))];
  return length(decimal) < length(binary) ? decimal : binary;
}

/** In the largest unit in which the amount is exact. */
function written(
  whole: number,
  { step, units, places }: { step: number; units: readonly string[]; places: number },
): Written {
  for (let at = units.length - 1; at > 0; at -= 1) {
    const amount = whole / step ** at;
    if (amount >= 1 && Number(amount.toFixed(places)) === amount)
      return { amount: String(amount), unit: units[at] ?? '' };
  }
  return { amount: String(whole), unit: '' };
}

function length({ amount, unit }: Written): number {
  return amount.length + unit.length;
}

/** A number as Python writes a float: `1.0`, `0.25`. Labs made for Nublado read `CPU_LIMIT` so. */
export function formatFloat(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function scale(amount: number, step: number, units: readonly string[]): string {
  let unit = 0;
  let left = amount;
  while (left !== 0 && left % step === 0 && unit < units.length - 1) {
    left /= step;
    unit += 1;
  }
  return `${left}${amount === 0 ? '' : (units[unit] ?? '')}`;
}
