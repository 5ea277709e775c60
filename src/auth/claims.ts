import { parseCpu, parseMemory } from '../config/units.ts';
import { isRecord } from '../util/is-record.ts';
import type { Quota } from '../domain/user/user.ts';
import type { KnownGroup, UserFacts } from './user-facts.ts';

/** What another party says of somebody: parsed JSON, believed in nothing but its signature. */
export type Claims = Readonly<Record<string, unknown>>;

/** Which claim says what: its name, or a path with dots where there is none of that name. */
export interface FactClaims {
  readonly name: string;
  readonly email: string;
  readonly uid: string;
  readonly gid: string;
  readonly groups: string;
  readonly home: string;
  readonly quota: string;
}

const ID_MAX = 2_147_483_647;
const DIGITS = /^(?:0|[1-9]\d{0,9})$/;
const TEXT_LENGTH = 255;
const HOME_LENGTH = 1024;
const GROUPS_COUNT = 1000;
/** RFC 5321 has no longer address. */
const EMAIL_LENGTH = 254;

/**
 * The value of a claim; undefined where there is none. A claim whose whole name fits wins: names may be URLs, with dots in
 * them. A path goes through objects only, and only through what they hold themselves.
 */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const part of path.split('.')) {
    if (!isRecord(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}

/**
 * What the claims say of a user. A claim of another type, out of bounds, or with what could break a line of a file or a
 * log says nothing: the next source of facts is asked then.
 *
 * @param username already checked
 */
export function readFacts(username: string, claims: Claims, paths: FactClaims): UserFacts {
  const at = (fact: keyof FactClaims) => claimAt(claims, paths[fact]);
  return {
    username,
    name: readText(at('name')),
    email: readEmail(at('email')),
    uid: readId(at('uid'), 1),
    gid: readId(at('gid'), 0),
    groups: readGroups(at('groups')),
    home: readHome(at('home')),
    quota: readQuota(at('quota')),
    // Nobody becomes an administrator by a claim.
    admin: null,
  };
}

/** One line of text, without what cannot be seen; null when it is anything else, or longer than a name is. */
export function readText(value: unknown, length = TEXT_LENGTH): string | null {
  if (typeof value !== 'string' || value.trim() === '' || value.length > length) return null;
  return value.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(value) ? value : null;
}

/** A POSIX id, as a number or as its digits. No lab runs as root, so that a uid is at least 1. */
export function readId(value: unknown, least: 0 | 1): number | null {
  const id = typeof value === 'string' && DIGITS.test(value) ? Number(value) : value;
  return typeof id === 'number' && Number.isInteger(id) && id >= least && id <= ID_MAX ? id : null;
}

/** Groups as names, or as objects with `name` and perhaps `id`. What is neither is left out. */
export function readGroups(value: unknown): KnownGroup[] | null {
  return Array.isArray(value) ? value.slice(0, GROUPS_COUNT).flatMap(readGroup) : null;
}

function readGroup(value: unknown): KnownGroup[] {
  const { name, id } = isRecord(value) ? value : { name: value, id: null };
  const text = readText(name);
  return text === null ? [] : [{ name: text, id: readId(id, 0) }];
}

/** An address of e-mail, as far as its shape tells. */
export function readEmail(value: unknown): string | null {
  const text = readText(value, EMAIL_LENGTH);
  return text !== null && /^[^\s@]+@[^\s@]+$/.test(text) ? text : null;
}

/** An absolute path that means what it says: nothing goes up, nothing is empty, and no colon ends a field of passwd. */
export function readHome(value: unknown): string | null {
  const text = readText(value, HOME_LENGTH);
  if (text === null || text.includes(':')) return null;
  const [root, ...parts] = text.split('/');
  return root === '' && parts.every((part) => part !== '' && part !== '.' && part !== '..') ? text : null;
}

/** A quota: `cpu` in cores and `memory` in bytes, or both as the configuration writes them, and `spawn`. */
export function readQuota(value: unknown): Quota | null {
  if (!isRecord(value)) return null;
  const { spawn = true, cpu, memory } = value;
  if (typeof spawn !== 'boolean') return null;
  const cores = readAmount(cpu, parseCpu);
  const bytes = readAmount(memory, parseMemory);
  if (bytes !== null && !Number.isInteger(bytes)) return null;
  if (spawn && (cores === null || bytes === null)) return null;
  return { cpu: cores ?? 0, memory: bytes ?? 0, spawn };
}

function readAmount(value: unknown, parse: (text: string) => number | undefined): number | null {
  const amount = typeof value === 'string' ? parse(value) : value;
  return typeof amount === 'number' && amount >= 0 && amount <= Number.MAX_SAFE_INTEGER ? amount : null;
}
