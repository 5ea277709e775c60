/** What became of one value. */
export interface Finding {
  /** Path of the value in what was imported. */
  readonly path: string;
  /** Key of Labwright's configuration that it is now. */
  readonly to?: string;
  readonly why?: string;
}

/** What became of every value; nothing is left out. */
export interface ImportReport {
  /** Means the same here. */
  readonly mapped: readonly Finding[];
  /** Is here, with something that has to be known. */
  readonly remarked: readonly Finding[];
  /** Stays with the hub and its chart. */
  readonly hub: readonly Finding[];
  /** Cannot be said here; `why` says what to do instead. */
  readonly lost: readonly Finding[];
}

export class Findings implements ImportReport {
  readonly mapped: Finding[] = [];
  readonly remarked: Finding[] = [];
  readonly hub: Finding[] = [];
  readonly lost: Finding[] = [];
}

/** The report for people. */
export function writeReport({ mapped, remarked, hub, lost }: ImportReport): string {
  const lines = (findings: readonly Finding[]) =>
    findings
      .map(
        ({ path, to, why }) =>
          `  ${path}${to === undefined ? '' : ` -> ${to}`}${why === undefined ? '' : `: ${why}`}\n`,
      )
      .join('');
  return [
    `${String(mapped.length)} values mean the same here.\n`,
    `\n${String(remarked.length)} are here, with a remark:\n${lines(remarked)}`,
    `\n${String(hub.length)} stay with the hub and its chart.\n`,
    `\n${String(lost.length)} cannot be said here:\n${lines(lost)}`,
  ].join('');
}
