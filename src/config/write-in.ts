import { type Context, createContext, Script } from 'node:vm';
import { z } from 'zod';
import { parseImageReference } from '../domain/image/image-reference.ts';
import type { LabOverlay, PieceKey } from './lab-overlay.ts';
import { labelValue } from './kubernetes.ts';

/** Longest text that is written in: longer than any name of an image in use. */
export const WRITE_IN_LENGTH = 512;
/** Most milliseconds that a pattern may take over one text: far more than any takes that is of use. */
const PATTERN_MS = 100;
/** How often a pattern is tried that was ended while the machine was busy with something else. */
const PATTERN_ATTEMPTS = 10;
const VALUE = '{value}';
/** The keys of `lab` in whose values `{value}` stands for what was written. No path and no name of anything is made of it. */
const VALUE_KEYS = ['command', 'args', 'env', 'defaultUrl', 'extraLabels', 'extraAnnotations'] as const;

/** A regular expression for what is written in, as JavaScript and browsers read it. */
export const writeInPattern = z
  .string()
  .min(1)
  .max(1000)
  .check((context) => {
    if (compile(context.value) !== undefined) return;
    const hint = /\(\?P|\\[AZ]/.test(context.value) ? ': (?P<name>…), \\A and \\Z are of Python alone' : '';
    context.issues.push({
      code: 'custom',
      message: `expected a regular expression of JavaScript${hint}`,
      input: context.value,
    });
  });

/** An image with a place for what is written in: `{value}`, or `example.org/lab:{value}`. */
export const writeInImage = z
  .string()
  .refine((template) => template.includes(VALUE), { error: 'expected {value} in it, which stands for what is written' })
  .refine(
    (template) =>
      ['x', 'x/y', 'x:1', 'x.org/y:1'].some((text) => parseImageReference(fill(template, text)) !== undefined),
    {
      error: 'expected an image such as {value}, or registry.example.com/name:{value}',
    },
  );

/**
 * Whether all of a text matches a pattern. The pattern is the operator's and the text a user's: a pattern that takes too long over
 * a text is ended and does not match.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  return text.length <= WRITE_IN_LENGTH && runPattern(pattern, text) === true;
}

/** Whether a pattern takes too long over some text: it is tried with long runs of the characters that it names. */
export function isSlowPattern(pattern: string): boolean {
  const characters = new Set([...'a0', ...pattern.replaceAll(/[^\p{L}\p{N}._/:-]/gu, '')]);
  return [...characters]
    .slice(0, 20)
    .some((character) => runPattern(pattern, `${character.repeat(60)}\n`) === undefined);
}

/** @returns undefined where it was ended */
function runPattern(pattern: string, text: string): boolean | undefined {
  const expression = compile(pattern);
  if (expression === undefined) return false;
  context ??= createContext({});
  Object.assign(context, { expression, text });
  for (let attempt = 0; attempt < PATTERN_ATTEMPTS; attempt += 1) {
    const before = process.threadCpuUsage();
    try {
      return MATCH.runInContext(context, { timeout: PATTERN_MS }) === true;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      // The limit is one of the clock. What has not had half of that of the processor was not slow, it had to wait.
      if (process.threadCpuUsage(before).user > (PATTERN_MS * 1000) / 2) return undefined;
    }
  }
  return undefined;
}

/** Only a script of its own can be ended from outside. */
const MATCH = new Script('expression.test(text)');
let context: Context | undefined;

function compile(pattern: string): RegExp | undefined {
  for (const flags of ['u', '']) {
    try {
      // Alone first: a bracket that closes the group would undo the anchors.
      new RegExp(pattern, flags);
      return new RegExp(`^(?:${pattern})$`, flags);
    } catch {
      // Python lets more be escaped than `u` does.
    }
  }
  return undefined;
}

/** A pattern as the `pattern` of an `<input>` takes it; undefined where a browser could not read it. */
export function htmlPattern(pattern: string): string | undefined {
  for (const candidate of [pattern, escapeClasses(pattern)]) {
    try {
      new RegExp(`^(?:${candidate})$`, 'v');
      return candidate;
    } catch {
      // Browsers read patterns with `v`, which wants more of what stands in brackets escaped.
    }
  }
  return undefined;
}

function escapeClasses(pattern: string): string {
  return pattern.replaceAll(/\[(\^?)((?:\\.|[^\]\\])*)\]/g, (_, not: string, inside: string) => {
    const escaped = inside.replaceAll(/\\.|[()[{}/|]|^-|-$|&&/g, (part) =>
      part.startsWith('\\') ? part : part === '&&' ? '&\\&' : `\\${part}`,
    );
    return `[${not}${escaped}]`;
  });
}

/** A template with what was written in. */
export function fill(template: string, value: string): string {
  return template.replaceAll(VALUE, () => value);
}

/** Settings with what was written in. */
export function fillOverlay(over: LabOverlay, value: string): LabOverlay {
  const filled = VALUE_KEYS.flatMap((key) => (over[key] === undefined ? [] : [[key, deepFill(over[key], value)]]));
  return { ...over, ...(Object.fromEntries(filled) as LabOverlay) };
}

function deepFill(value: unknown, text: string): unknown {
  if (typeof value === 'string') return fill(value, text);
  if (Array.isArray(value)) return value.map((entry) => deepFill(entry, text));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, deepFill(entry, text)]));
}

/** The keys with a `{value}` that nothing is filled into. */
export function misplacedValues(over: LabOverlay): PieceKey[] {
  return (Object.keys(over) as PieceKey[]).filter(
    (key) => !VALUE_KEYS.some((known) => known === key) && JSON.stringify(over[key]).includes(VALUE),
  );
}

/** Why a text cannot be written in, beside the pattern; undefined when it can. */
export function faultOfWriteIn(over: LabOverlay | undefined, value: string): string | undefined {
  // It would be filled with the user afterwards.
  if (/\{[a-z_]+\}/.test(value)) return 'It holds a word in braces';
  if (!/^[^\p{Cc}]*$/u.test(value)) return 'It holds a control character';
  if (over === undefined) return undefined;
  const { extraLabels, defaultUrl } = fillOverlay(over, value);
  const labels = Object.entries(extraLabels ?? {}).filter(([key]) => over.extraLabels?.[key]?.includes(VALUE) === true);
  if (labels.some(([, text]) => !text.includes('{') && !labelValue.safeParse(text).success))
    return 'It cannot be the value of a label';
  if (defaultUrl !== undefined && !/^\/(?!\/)[^\s]*$/.test(defaultUrl)) return 'It cannot be part of a path';
  return undefined;
}
