import type { Reflector } from '../storage/kubernetes/reflector.ts';

/** What a cache that cannot follow the cluster says of itself. It goes on answering with what it has. */
export interface Staleness {
  /** Milliseconds since it has last heard from the API server. */
  readonly ms: number;
  /** Which call fails and how, for anybody to read: it names kinds, and no objects and no users. */
  readonly why: string;
  /** For the log. */
  readonly error: Error;
}

/** How one part of the program is, for `/readyz`, the log and people. */
export interface Health {
  readonly component: string;
  readonly ready: boolean;
  /** One sentence, without secrets and addresses of executors: why it is not ready, or what is wrong though it is. */
  readonly message?: string | undefined;
  /** One sentence for anybody to read: it names no users, no objects and nothing of what is configured. */
  readonly notice?: string | undefined;
  /** Milliseconds since a cache has last heard from the API server. */
  readonly staleMs?: number | undefined;
  /** There when a cache cannot follow the cluster. */
  readonly stale?: Staleness | undefined;
}

/** Whatever works for as long as the program does. */
export interface Component {
  readonly name: string;
  health(): Health;
  /** Works until `signal` aborts and what was under way has ended. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** A local copy of something outside. It is synced once it has all of it, and stays so. */
export interface Cache extends Component {
  readonly synced: Promise<void>;
  readonly isSynced: boolean;
}

/** A watch that fails for less long is resumed without anything being said: connections break, and rights are edited. */
const STALE_AFTER_MS = 15_000;

type Watched = Pick<Reflector<never, never>, 'isReady' | 'staleMs' | 'failingMs' | 'lastError'>;

/** The oldest of these copies that cannot follow the cluster; undefined while all do. */
export function stalenessOf(reflectors: readonly Watched[]): Staleness | undefined {
  const failing = reflectors.flatMap(({ isReady, staleMs, failingMs, lastError }) =>
    isReady && failingMs >= STALE_AFTER_MS && lastError !== undefined ? [{ ms: staleMs, error: lastError }] : [],
  );
  const [oldest] = failing.sort((one, other) => other.ms - one.ms);
  if (oldest === undefined) return undefined;
  const { target, status, reason } = oldest.error;
  const how = status === 0 ? reason : `${String(status)} ${reason}`;
  return { ...oldest, why: `${target.verb} ${target.kind}: ${how}` };
}
