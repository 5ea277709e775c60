import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../util/is-record.ts';
import type { Config, ConfigInput } from './config.ts';
import { buildConfig, ConfigError, parseConfig, parseInput } from './load.ts';

/** Keys that hold from when they are read; inside of them, some do not (`AT_START`). All others are read at the start. */
const WHILE_RUNNING = ['users', 'images', 'quotas', 'lab', 'overlays', 'limits'] as const;

/**
 * What the program is wired by although it is below one of those keys: what is watched of nodes, where labs are looked for, the keys
 * that tokens are signed with, and the counters of callers.
 */
const AT_START = {
  images: (key: string) => key === 'prepull',
  lab: (key: string) => ['namespaces', 'namespace', 'token'].includes(key),
  limits: (key: string) => key !== 'labsPerUser',
} as const;

type Mixed = keyof typeof AT_START;
type Values = Readonly<Record<string, unknown>>;

/** What a changed file comes to. */
export interface Reload {
  /** What holds from now on. */
  readonly config: Config;
  /** Top-level keys in which that differs from what held before. */
  readonly changed: readonly string[];
  /** Places in which the file differs from what the program was started with, and that are read at the start only. */
  readonly atNextStart: readonly string[];
  /** Whether the rest of the file can only be used together with those places, and so waits for the next start, too. */
  readonly isHeldBack: boolean;
}

export interface ReloadOptions {
  /** What to call the file in errors. */
  readonly name: string;
  /** What the program was started with. */
  readonly started: { readonly text: string; readonly config: Config };
  /** What holds now. */
  readonly current: Config;
}

/**
 * Takes from a changed file what can change while the program runs. The rest stays as it was at the start, and both together are
 * checked as one file would be: what holds is always one configuration that could be started with.
 *
 * @throws ConfigError with everything that is wrong with the changed file.
 */
export function reloadConfig(text: string, { name, started, current }: ReloadOptions): Reload {
  const next = parseConfig(text, name);
  const atNextStart = startPlaces(next, started.config);
  const combined = atNextStart.length === 0 ? next : combine(started.text, text);
  const config = combined ?? current;
  const changed = Object.keys({ ...current, ...config }).filter(
    (key) => !isDeepStrictEqual(valueAt(config, key), valueAt(current, key)),
  );
  return { config, changed, atNextStart, isHeldBack: combined === undefined };
}

function startPlaces(next: Config, started: Config): string[] {
  return Object.keys({ ...started, ...next }).flatMap((key) => {
    const [one, other] = [valueAt(next, key), valueAt(started, key)];
    if (isDeepStrictEqual(one, other)) return [];
    if (!isReadWhileRunning(key)) return [key];
    if (!isMixed(key)) return [];
    const inner = Object.keys({ ...asValues(one), ...asValues(other) }).filter(AT_START[key]);
    return inner
      .filter((name) => !isDeepStrictEqual(asValues(one)[name], asValues(other)[name]))
      .map((name) => `${key}.${name}`);
  });
}

/** @returns undefined where the two do not go together */
function combine(started: string, next: string): Config | undefined {
  const [before, after] = [asValues(parseInput(started)), asValues(parseInput(next))];
  const kept = Object.entries(before).filter(([key]) => !isReadWhileRunning(key));
  const taken = Object.entries(after).filter(([key]) => isReadWhileRunning(key));
  const mixed = (Object.keys(AT_START) as Mixed[]).map((key) => {
    const atStart = ([name]: [string, unknown]) => AT_START[key](name);
    const held = Object.entries(asValues(before[key])).filter(atStart);
    const free = Object.entries(asValues(after[key])).filter((entry) => !atStart(entry));
    return [key, Object.fromEntries([...held, ...free])] as const;
  });
  try {
    return buildConfig(Object.fromEntries([...kept, ...taken, ...mixed]) as ConfigInput);
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}

function isReadWhileRunning(key: string): boolean {
  return (WHILE_RUNNING as readonly string[]).includes(key);
}

function isMixed(key: string): key is Mixed {
  return Object.hasOwn(AT_START, key);
}

function valueAt(config: Config, key: string): unknown {
  return asValues(config)[key];
}

function asValues(value: unknown): Values {
  return isRecord(value) ? value : {};
}
