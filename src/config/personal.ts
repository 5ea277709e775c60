import { z } from 'zod';
import { findPlaceholders, PLACEHOLDER_NAMES, shortestOf } from '../domain/lab/placeholders.ts';
import type { Report } from './cross-check.ts';

/** The keys of `lab` in whose values the user may stand (`{username}`). */
export const PERSONAL_KEYS = [
  'podName',
  'command',
  'args',
  'env',
  'defaultUrl',
  'workingDir',
  'volumes',
  'volumeMounts',
  'initContainers',
  'sidecars',
  'podPatch',
  'serviceAccount',
  'extraLabels',
  'extraAnnotations',
  'namespaceAnnotations',
  'extraObjects',
] as const;

type Path = readonly (string | number)[];

/** Kubernetes takes only some characters there, and names of users may hold any. */
const NARROW = new Set(['podName', 'mountPath', 'extraLabels', 'workingDir', 'name', 'claimName', 'secretName']);

/** Text in which the user may stand, checked as it is for somebody. */
export function personal(text: z.ZodType<string>) {
  return z.string().check((context) => {
    const [issue] = text.safeParse(shortestOf(context.value)).error?.issues ?? [];
    if (issue !== undefined) context.issues.push({ code: 'custom', message: issue.message, input: context.value });
  });
}

/** Whether no two labs have the same in it: by the user and the server. */
export function tellsLabsApart(text: string): boolean {
  const found = findPlaceholders(text).map((each) => each.name);
  const names = (word: string) => found.some((each) => each.endsWith(word));
  return found.includes('slug') || names('user_server') || (names('username') && names('servername'));
}

/** Every name in braces must be known, and stand where its value can. */
export function checkPlaceholders(
  settings: Readonly<Partial<Record<(typeof PERSONAL_KEYS)[number], unknown>>>,
  report: Report,
): void {
  for (const key of PERSONAL_KEYS) walk(settings[key], [key], (text, path) => checkText(text, path, report));
}

/** Parts of volumes, and what is mounted of a server or a machine. */
const PATHS = new Set(['subPath', 'subPathExpr', 'path']);

function checkText(text: string, path: Path, report: Report): void {
  const isNarrow = path.some((part) => NARROW.has(String(part)));
  const isPath = PATHS.has(String(path.at(-1)));
  const found = findPlaceholders(text);
  for (const { name, isKnown, isRaw, mayHoldSlash } of found) {
    if (!isKnown) {
      report(
        path,
        `{${name}} is not known; expected ${PLACEHOLDER_NAMES.map((known) => `{${known}}`).join(', ')}, or a space in the ` +
          `braces where they stand for themselves: { ${name} }`,
      );
    } else if (isRaw && isNarrow) {
      report(
        path,
        `expected no {${name}} here, which may hold any character: {username} and {escaped_username} do not`,
      );
    } else if (isPath && mayHoldSlash) {
      report(path, `expected no {${name}} in a path, since it may hold slashes`);
    }
  }
  if (isPath && found.length > 0 && found.every(({ isKnown, mayBeEmpty }) => isKnown && mayBeEmpty)) {
    report(path, 'expected more than what may be empty: others would be seen');
  }
}

function walk(value: unknown, path: Path, see: (text: string, path: Path) => void): void {
  if (typeof value === 'string') see(value, path);
  else if (Array.isArray(value)) value.forEach((entry, index) => walk(entry, [...path, index], see));
  else if (typeof value === 'object' && value !== null) {
    for (const [key, entry] of Object.entries(value)) walk(entry, [...path, key], see);
  }
}
