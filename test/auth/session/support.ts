import { createHash } from 'node:crypto';
import type { AuthRequest } from '../../../src/auth/identity.ts';
import { createSessions } from '../../../src/auth/login/session.ts';
import { publicAddress } from '../../../src/auth/login/cookie.ts';
import type { SealingKeys } from '../../../src/auth/keys/loaded-keys.ts';

const bytes = (text: string) => new Uint8Array(createHash('sha256').update(text).digest());

/** Keys by id; the last one seals. */
export function someKeys(...kids: string[]): SealingKeys {
  const current = kids.at(-1) ?? 'k1';
  return {
    current: () => ({ kid: current, key: bytes(current) }),
    find: (kid) => ((kids.length === 0 ? ['k1'] : kids).includes(kid) ? bytes(kid) : undefined),
  };
}

export const NOW = Date.UTC(2026, 10, 21, 12);
export const LIFETIME = 8 * 3_600_000;

export function setUpSessions(
  change: { baseUrl?: string; pathPrefix?: string; keys?: SealingKeys; lifetime?: number; now?: number } = {},
) {
  const { baseUrl = 'https://hub.example.org', pathPrefix = '/labwright' } = change;
  const clock = { now: change.now ?? NOW };
  const address = publicAddress({ baseUrl, pathPrefix });
  const { keys = someKeys(), lifetime = LIFETIME } = change;
  const sessions = createSessions({ keys, address, lifetime, now: () => clock.now });
  /** What the browser sends back after it was given a session for this token. */
  const cookieFor = async (token: string) => ((await sessions.begin(token)) ?? '').split(';')[0] ?? '';
  return { sessions, clock, address, cookieFor };
}

export function requestWith(headers: Record<string, string | readonly string[]>, method = 'GET'): AuthRequest {
  return { method, headers: (name) => [headers[name] ?? []].flat(), remoteAddress: undefined };
}
