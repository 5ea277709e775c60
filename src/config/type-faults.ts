import type { z } from 'zod';
import { knownKeys } from './unknown-key.ts';

const NAMES: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'keys and values',
  record: 'keys and values',
  string: 'text',
};
/** Most keys that are named: what is there is in docs/configuration.md. */
const MOST = 5;

/** What is said of a value of another kind than is expected: the kind, and how it is written. */
export function explainType({ path, expected, message }: z.core.$ZodIssueInvalidType): string {
  if (!message.startsWith('Invalid input')) return message;
  const received = /received (\w+)$/.exec(message)?.[1] ?? '';
  const name = NAMES[expected] ?? expected;
  if (received === 'undefined') return `missing: expected ${name}${keysOf(path, expected)}`;
  if (received === 'null')
    return `expected ${name}${keysOf(path, expected)}; nothing is there, or what belongs there is not indented`;
  return `expected ${name}${keysOf(path, expected)}${howToWrite(expected, received)}`;
}

/** The keys of a table whose keys are known. */
function keysOf(path: readonly PropertyKey[], expected: string): string {
  const keys = expected === 'object' && path.length > 0 ? knownKeys(path) : [];
  if (keys.length === 0) return '';
  return ` (${keys.slice(0, MOST).join(', ')}${keys.length > MOST ? ', …' : ''})`;
}

function howToWrite(expected: string, received: string): string {
  const isNumber = expected === 'number' || expected === 'int';
  if (expected === 'string' && /^(?:number|boolean)$/.test(received)) return ', in quotes';
  if (isNumber && received === 'string') return ', without quotes';
  if (expected === 'boolean' && received === 'string') return ', without quotes: yes and no are text';
  if (expected === 'array') return ': [ … ], or entries that each begin with "- "';
  if (expected === 'record' && received === 'array') return ', such as "name: value", and no list';
  return received === 'array' ? ', and no list' : '';
}
