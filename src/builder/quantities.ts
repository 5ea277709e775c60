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
  const [binary, decimal] = [formatMemory(bytes), scale(Math.round(bytes), 1000, DECIMAL.slice(1))];
  return decimal.length < binary.length ? decimal : binary;
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
