import { z } from 'zod';
import { parseImageReference } from '../domain/image/image-reference.ts';
import { compilePattern, testPattern } from '../util/pattern.ts';
import type { LabOverlay, PieceKey } from './lab-overlay.ts';
import { labelValue } from './kubernetes.ts';

/** Longest text that is written in: longer than any name of an image in use. */
export const WRITE_IN_LENGTH = 512;
const VALUE = '{value}';
/** The keys of `lab` in whose values `{value}` stands for what was written. No path and no name of anything is made of it. */
const VALUE_KEYS = ['command', 'args', 'env', 'defaultUrl', 'extraLabels', 'extraAnnotations'] as const;

/** A regular expression for what is written in, as JavaScript and browsers read it. */
export const writeInPattern = z
  .string()
  .min(1)
  .max(1000)
  .check((context) => {
    if (compilePattern(context.value) !== undefined) return;
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
  return text.length <= WRITE_IN_LENGTH && testPattern(pattern, text) === true;
}

/** Whether a pattern takes too long over some text: it is tried with long runs of the characters that it names. */
export function isSlowPattern(pattern: string): boolean {
  const characters = new Set([...'a0', ...pattern.replaceAll(/[^\p{L}\p{N}._/:-]/gu, '')]);
  return [...characters]
    .slice(0, 20)
    .some((character) => testPattern(pattern, `${character.repeat(60)}\n`) === undefined);
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
