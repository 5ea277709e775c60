import type { LabConfig } from '../../config/config.ts';
import { PERSONAL_KEYS } from '../../config/personal.ts';
import { fillPlaceholders, type Occupant } from '../../domain/lab/placeholders.ts';

/** The configuration for one lab: with its user wherever a value has a placeholder. */
export function personalize(config: LabConfig, of: Occupant): LabConfig {
  const personal = PERSONAL_KEYS.map((key) => [key, filled(config[key], of)] as const);
  return { ...config, ...(Object.fromEntries(personal) as Partial<LabConfig>) };
}

function filled(value: unknown, of: Occupant): unknown {
  if (typeof value === 'string') return fillPlaceholders(value, of);
  if (Array.isArray(value)) return value.map((entry) => filled(entry, of));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, filled(entry, of)]));
}
