import { readdirSync, readFileSync } from 'node:fs';
import { milliseconds, quantile } from './statistics.ts';

interface Ticks {
  /** Of all cores since boot, idle time included. */
  readonly all: number;
  readonly idle: number;
  /** Of the processes of this run that are alive, by name. */
  readonly own: ReadonlyMap<string, number>;
}

/** Processor time in milliseconds by process. */
export type CpuByProcess = ReadonlyMap<string, number>;

/** The same for one of `count` items. */
export function perItem(cpu: CpuByProcess, count: number): CpuByProcess {
  return new Map([...cpu].map(([name, ms]) => [name, ms / count]));
}

/** `kube-apiserver 12 ms, controller 5 ms`: the median of several repetitions, the largest first. */
export function describeCpu(samples: readonly CpuByProcess[]): string {
  return [...(samples[0]?.keys() ?? [])]
    .map((name) => ({
      name,
      ms: quantile(
        samples.map((sample) => sample.get(name) ?? 0),
        0.5,
      ),
    }))
    .toSorted((a, b) => b.ms - a.ms)
    .map(({ name, ms }) => `${name} ${milliseconds(ms)}`)
    .join(', ');
}

const TICK_MS = 10;

/**
 * Who used the machine while something was measured: each process of this run, and others. The kernel's work for a
 * process that has ended counts as others', so that a quiet machine shows a few per cent.
 */
export class Noise {
  readonly #groups: ReadonlyMap<number, string>;
  readonly #nameOf: (pid: number) => string;
  #since: Ticks;

  /**
   * @param groups names of process groups: the run's servers
   * @param nameOf name of a process in this process's own group
   */
  constructor(groups: ReadonlyMap<number, string>, nameOf: (pid: number) => string) {
    this.#groups = groups;
    this.#nameOf = nameOf;
    this.#since = this.#read();
  }

  begin(): void {
    this.#since = this.#read();
  }

  /** Since `begin`: the others' share of the machine, 0 to 1, and what each process of this run used. */
  end(): { others: number; cpu: CpuByProcess } {
    const now = this.#read();
    const all = now.all - this.#since.all;
    const busy = all - (now.idle - this.#since.idle);
    const cpu = new Map(
      [...now.own].map(([name, ticks]) => [name, (ticks - (this.#since.own.get(name) ?? 0)) * TICK_MS]),
    );
    const own = [...cpu.values()].reduce((total, ms) => total + ms, 0) / TICK_MS;
    return { others: all === 0 ? 0 : Math.max(0, busy - own) / all, cpu };
  }

  #read(): Ticks {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
    const fields = line.split(/\s+/).slice(1, 9).map(Number);
    const own = new Map<string, number>();
    for (const pid of readdirSync('/proc')) {
      const stat = /^\d+$/.test(pid) ? statOf(pid) : undefined;
      const name = stat === undefined ? undefined : this.#ownerOf(Number(pid), Number(stat[2]));
      if (stat !== undefined && name !== undefined) {
        own.set(name, (own.get(name) ?? 0) + Number(stat[11]) + Number(stat[12]));
      }
    }
    return { all: fields.reduce((sum, field) => sum + field, 0), idle: (fields[3] ?? 0) + (fields[4] ?? 0), own };
  }

  #ownerOf(pid: number, group: number): string | undefined {
    return this.#groups.get(group) ?? (group === OWN_GROUP ? this.#nameOf(pid) : undefined);
  }
}

const OWN_GROUP = groupOf('self');

function groupOf(pid: string): number {
  return Number(statOf(pid)?.[2] ?? -1);
}

/** The fields of /proc/PID/stat after the command, which may hold anything; undefined when the process has ended. */
function statOf(pid: string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
