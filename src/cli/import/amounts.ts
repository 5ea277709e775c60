import { parseMemory } from '../../config/units.ts';
import type { Json } from './source.ts';

const BYTES: Readonly<Record<string, string>> = { K: 'Ki', M: 'Mi', G: 'Gi', T: 'Ti' };

/** Memory as JupyterHub reads it: a `G` is 2^30 bytes there. Undefined where it says nothing. */
export function importMemory(value: Json): string | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)$/.exec(String(value)) ?? [];
  if (amount === undefined) return /^\d+(?:\.\d+)?[KMGT]i$/.test(String(value)) ? String(value) : undefined;
  return unit === '' ? String(Math.ceil(Number(amount))) : `${amount}${BYTES[unit] ?? ''}`;
}

export function importCpu(value: Json): number | undefined {
  const cores = typeof value === 'string' && value.endsWith('m') ? Number(value.slice(0, -1)) / 1000 : Number(value);
  return value !== undefined && value !== null && value !== '' && cores > 0 ? cores : undefined;
}

export interface Amounts {
  readonly cpu?: number | undefined;
  readonly cpuRequest?: number | undefined;
  readonly memory?: string | undefined;
  readonly memoryRequest?: string | undefined;
}

/** What is kept for a lab of which the hub says nothing: next to none of a machine. */
const LEAST = { cpuRequest: 0.001, memoryRequest: '1Mi' };

/** The compute of a size. Where the hub sets no limit, there is none; here it is not below the request. */
export function sizeAmounts({ cpu, cpuRequest, memory, memoryRequest }: Amounts): Record<string, Json> {
  const asked = parseMemory(memoryRequest ?? '') ?? 0;
  const raised = memory !== undefined && asked > (parseMemory(memory) ?? 0) ? memoryRequest : memory;
  return {
    ...(cpu === undefined ? {} : { cpu: Math.max(cpu, cpuRequest ?? 0) }),
    ...(raised === undefined ? {} : { memory: raised }),
    cpuRequest: cpuRequest ?? LEAST.cpuRequest,
    memoryRequest: memoryRequest ?? LEAST.memoryRequest,
  };
}

/**
 * What a profile or a choice says of CPU and memory. A limit alone would be the request too here, and is not in KubeSpawner, where the
 * guarantee from before stays; one that is taken away becomes what labs have without.
 *
 * @param before what holds before it
 */
export function profileAmounts(own: Amounts, before: Amounts): Record<string, Json> {
  const said = (key: keyof Amounts) => Object.hasOwn(own, key);
  const all = { ...before, ...own };
  const { cpu, memory, cpuRequest, memoryRequest } = sizeAmounts(all);
  return {
    ...(said('cpu') ? { cpu } : {}),
    ...((said('cpu') || said('cpuRequest')) && cpuRequest !== undefined ? { cpuRequest } : {}),
    ...(said('memory') ? { memory } : {}),
    ...((said('memory') || said('memoryRequest')) && memoryRequest !== undefined ? { memoryRequest } : {}),
  };
}
