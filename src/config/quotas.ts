import { z } from 'zod';
import type { Quota } from '../domain/user/user.ts';
import { crossCheck } from './cross-check.ts';
import { cpu, memory } from './units.ts';

const quota = z
  .strictObject({
    cpu: cpu.optional().describe('CPU that may be in use at once.'),
    memory: memory.optional().describe('Memory that may be in use at once.'),
    spawn: z.boolean().default(true).describe('`false`: no labs at all; cpu and memory can then be left out.'),
  })
  .check(
    crossCheck(['cpu', 'memory', 'spawn'], ({ cpu, memory, spawn }, report) => {
      if (spawn && cpu === undefined) report(['cpu'], 'expected an amount of CPU, unless spawn is false');
      if (spawn && memory === undefined) report(['memory'], 'expected an amount of memory, unless spawn is false');
    }),
  )
  .transform(({ cpu, memory, spawn }): Quota => ({ cpu: cpu ?? 0, memory: memory ?? 0, spawn }));

/** What users may have. */
export const quotas = z.strictObject({
  default: quota.optional().describe('For users without an entry, their own or of a group; no quota when absent.'),
  groups: z
    .record(z.string(), quota)
    .default({})
    .describe('By group name. A user of several groups gets the largest CPU and the largest memory of them.'),
  users: z.record(z.string(), quota).default({}).describe('By user name; wins over groups.'),
});

interface Quotas {
  readonly default?: Quota | undefined;
  readonly groups: Readonly<Record<string, Quota>>;
  readonly users: Readonly<Record<string, Quota>>;
}

/** Whose quota is asked for; `quota` is what the source of the user's facts allows, if it says so. */
interface QuotaSubject {
  readonly username: string;
  readonly groups: readonly { readonly name: string }[] | null;
  readonly quota?: Quota | null;
}

/**
 * What one user may have at once, or null where nothing limits it. What the source of the user's facts allows wins, then
 * the entry of the user; otherwise the largest of its groups, in each dimension; otherwise the default.
 */
export function resolveQuota(config: { readonly quotas: Quotas }, user: QuotaSubject): Quota | null {
  const { quotas } = config;
  if (user.quota !== undefined && user.quota !== null) return user.quota;
  const own = entry(quotas.users, user.username);
  if (own !== undefined) return own;
  const ofGroups = (user.groups ?? []).flatMap(({ name }) => entry(quotas.groups, name) ?? []);
  if (ofGroups.length === 0) return quotas.default ?? null;
  return {
    cpu: Math.max(...ofGroups.map(({ cpu }) => cpu)),
    memory: Math.max(...ofGroups.map(({ memory }) => memory)),
    spawn: ofGroups.some(({ spawn }) => spawn),
  };
}

/** User names are free text: `constructor` is one, and no key of the table. */
function entry(table: Readonly<Record<string, Quota>>, key: string): Quota | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
