/** The value below which a share `q` (0 to 1) of the values lies; NaN for none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The median of several repetitions, and how far they lie apart: `61 (58 to 64)`. */
export function spread(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return '-';
  const median = format(quantile(values, 0.5));
  if (new Set(values).size === 1) return median;
  return `${median} (${format(Math.min(...values))} to ${format(Math.max(...values))})`;
}

/** `12 ms`, `1.2 s`. */
export function milliseconds(value: number): string {
  return value < 1000 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : `${(value / 1000).toFixed(2)} s`;
}

/** `61.2`. */
export function decimal(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}

/** `7 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

export interface Row {
  readonly what: string;
  readonly seen: string;
  readonly aim?: string;
  /** The peer's figure, from the same kind of machine. */
  readonly peer?: string;
}

/** Rows as a Markdown table with aligned columns. */
export function table(title: string, rows: readonly Row[], peerName = 'Nublado'): string {
  const cells = [
    [title, 'seen', 'aim', peerName],
    ...rows.map(({ what, seen, aim = '', peer = '' }) => [what, seen, aim, peer]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

/** A Markdown table of several things beside each other: each row is what was measured, and a value for each thing. */
export function comparison(title: string, things: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [[title, ...things], ...rows];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${widths.map((width, at) => (row[at] ?? '').padEnd(width)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}
