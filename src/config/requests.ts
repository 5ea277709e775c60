import { crossCheck } from './cross-check.ts';

interface Amounts {
  readonly cpu?: number | undefined;
  readonly memory?: number | undefined;
  readonly cpuRequest?: number | undefined;
  readonly memoryRequest?: number | undefined;
}

/** A request is no more than its limit, where both are there: Kubernetes refuses every container of which that is not true. */
export function requestRules() {
  return [
    crossCheck<Amounts>(['cpu', 'cpuRequest'], ({ cpu, cpuRequest }, report) => {
      if (cpu !== undefined && cpuRequest !== undefined && cpuRequest > cpu)
        report(['cpuRequest'], 'expected no more than cpu, the limit');
    }),
    crossCheck<Amounts>(['memory', 'memoryRequest'], ({ memory, memoryRequest }, report) => {
      if (memory !== undefined && memoryRequest !== undefined && memoryRequest > memory)
        report(['memoryRequest'], 'expected no more than memory, the limit');
    }),
  ] as const;
}
