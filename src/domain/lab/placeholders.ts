import { labSlug } from '../names.ts';
import type { LabUser } from '../user/user.ts';
import { escapedSlug, safeSlug, safeUserServer } from './kubespawner-names.ts';

/** Whom a lab is for. */
export interface Occupant {
  readonly user: Pick<LabUser, 'username' | 'uid' | 'gid' | 'email'>;
  readonly servername: string;
}

interface Placeholder {
  readonly value: (of: Occupant) => string;
  /** It may hold any character that a name may have, and not only those of the name of an object. */
  readonly isRaw?: true;
  /** It may be empty. */
  readonly mayBeEmpty?: true;
  /** It may hold slashes. */
  readonly mayHoldSlash?: true;
}

const key = ({ user, servername }: Occupant) => ({ username: user.username, servername });
const withServer = (of: Occupant, slug: (name: string) => string) => (of.servername === '' ? '' : slug(of.servername));
const safeUsername = { value: ({ user }: Occupant) => safeSlug(user.username) };
const safeServername = { value: (of: Occupant) => withServer(of, safeSlug), mayBeEmpty: true } as const;
const safeBoth = { value: (of: Occupant) => safeUserServer(key(of)) };

/**
 * What can stand in values of the configuration for the user of a lab: the names of KubeSpawner 7 with what they mean there, and those of
 * Labwright. `{username}` and `{servername}` are safe in names and paths; the raw names are `unescaped_…`, as there.
 */
const PLACEHOLDERS = new Map<string, Placeholder>(
  Object.entries({
    username: safeUsername,
    servername: safeServername,
    user_server: safeBoth,
    safe_username: safeUsername,
    safe_servername: safeServername,
    safe_user_server: safeBoth,
    escaped_username: { value: ({ user }) => escapedSlug(user.username) },
    escaped_servername: { value: (of) => withServer(of, escapedSlug), mayBeEmpty: true },
    escaped_user_server: {
      value: (of) => [of.user.username, of.servername].filter(Boolean).map(escapedSlug).join('--'),
    },
    unescaped_username: { value: ({ user }) => user.username, isRaw: true },
    unescaped_servername: { value: ({ servername }) => servername, isRaw: true, mayBeEmpty: true },
    slug: { value: (of) => labSlug(key(of)) },
    uid: { value: ({ user }) => String(user.uid) },
    gid: { value: ({ user }) => String(user.gid) },
    email: { value: ({ user }) => user.email ?? '', isRaw: true, mayBeEmpty: true, mayHoldSlash: true },
  } satisfies Record<string, Placeholder>),
);

/** The known names, in the order of the documentation. */
export const PLACEHOLDER_NAMES: readonly string[] = [...PLACEHOLDERS.keys()];

/** Not `${home}` of a shell, nor `{{name}}` of a template. */
const PATTERN = /(?<![{$])\{([a-z]+(?:_[a-z]+)*)\}(?!\})/g;

/** The same at the end of a value, with the dashes before it. */
const AT_END = /-*(?<![{$])\{([a-z]+(?:_[a-z]+)*)\}$/;

/**
 * A value with the user in it. Braces around anything but a word of lower-case letters and `_` are left as they are. As in
 * KubeSpawner, an empty name at the end takes the dashes before it away; a name that ends with a dash keeps it, or two users could become
 * one.
 */
export function fillPlaceholders(template: string, of: Occupant): string {
  return fill(template, (name) => PLACEHOLDERS.get(name)?.value(of));
}

function fill(template: string, valueOf: (name: string) => string | undefined): string {
  if (!template.includes('{')) return template;
  const kept = valueOf(AT_END.exec(template)?.[1] ?? '') === '' ? template.replace(AT_END, '') : template;
  return kept.replaceAll(PATTERN, (written, name: string) => valueOf(name) ?? written);
}

/** What stands in a value for the user. */
export interface FoundPlaceholder {
  readonly name: string;
  readonly isKnown: boolean;
  /** It may hold any character that a name may have. */
  readonly isRaw: boolean;
  readonly mayBeEmpty: boolean;
  readonly mayHoldSlash: boolean;
}

export function findPlaceholders(template: string): FoundPlaceholder[] {
  return [...template.matchAll(PATTERN)].map(([, name = '']) => {
    const { isRaw = false, mayBeEmpty = false, mayHoldSlash = false } = PLACEHOLDERS.get(name) ?? {};
    return { name, isKnown: PLACEHOLDERS.has(name), isRaw, mayBeEmpty, mayHoldSlash };
  });
}

/**
 * The value as short as it can become: of a user whose names are one letter, and of nobody where there may be nobody. `{value}` stands for
 * what is written in (`lab.profiles`); elsewhere it is refused as any unknown name.
 */
export function shortestOf(template: string): string {
  return fill(template, (name) => {
    const placeholder = PLACEHOLDERS.get(name);
    if (placeholder === undefined) return name === 'value' ? 'x' : undefined;
    return placeholder.mayBeEmpty === true ? '' : 'x';
  });
}
