import { parseMemory } from '../../config/units.ts';
import type { Json } from './source.ts';

const BYTES: Readonly<Record<string, string>> = { K: 'Ki', M: 'Mi', G: 'Gi', T: 'Ti' };

/** What a lab gets where the hub sets no limit: labs have one here. */
export const NO_LIMIT = {
  cpu: 4,
  cpuRemark: 'labs have a limit of CPU here: 4 where there was none',
  memoryRemark: 'labs have a limit of memory here: what was guaranteed, where there was none',
};

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

/** The compute of a size. Here a limit has to be there, and is not below the request. */
export function sizeAmounts({ cpu, cpuRequest, memory, memoryRequest }: Amounts): Record<string, Json> {
  const limit = cpu ?? Math.max(NO_LIMIT.cpu, Math.ceil(cpuRequest ?? 0));
  const asked = parseMemory(memoryRequest ?? '') ?? 0;
  const written = memory ?? memoryRequest ?? '2Gi';
  const bytes = asked > (parseMemory(written) ?? 0) ? (memoryRequest ?? written) : written;
  return {
    cpu: Math.max(limit, cpuRequest ?? 0),
    memory: bytes,
    ...(cpuRequest === undefined ? {} : { cpuRequest }),
    ...(memoryRequest === undefined ? {} : { memoryRequest }),
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
