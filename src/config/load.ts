import { readFile } from 'node:fs/promises';
import { LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import type { Config, ConfigInput } from './config.ts';
import { writePath } from '../util/json-path.ts';
import { configSchema } from './schema.ts';
import { explainType } from './type-faults.ts';
import { explainUnknownKey } from './unknown-key.ts';
import { explainYaml } from './yaml-faults.ts';

/** One fault of a configuration: where it is and what was expected there. */
export interface ConfigProblem {
  /** The place as it is written in YAML: `lab.sizes[0].memory`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** Line of the file, from 1, when the place is in the file. */
  readonly line: number | undefined;
}

/** A configuration that cannot be used. `problems` has everything that is wrong with it, `message` says it all. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'invalid_configuration';
  readonly problems: readonly ConfigProblem[];

  constructor(source: string, problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super(`${source} cannot be used:${problems.map((problem) => `\n  ${sentenceOf(problem)}`).join('')}`, options);
    this.problems = problems;
  }

  /** What is wrong, a sentence for each problem, which begins with the place. */
  get sentences(): string[] {
    return this.problems.map(sentenceOf);
  }
}

function sentenceOf({ path, message, line }: ConfigProblem): string {
  const place = [path, ...(line === undefined ? [] : [`(line ${line})`])].filter((part) => part !== '').join(' ');
  return `${place === '' ? '' : `${place}: `}${message}`;
}

/**
 * Reads a configuration file.
 *
 * @throws ConfigError when the file cannot be read or used.
 */
export async function loadConfig(path: string): Promise<Config> {
  return parseConfig(await readConfigFile(path), path);
}

/**
 * The text of a configuration file.
 *
 * @throws ConfigError when the file cannot be read.
 */
export async function readConfigFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `the file cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new ConfigError(path, [{ path: '', message, line: undefined }], { cause });
  }
}

/**
 * Reads a configuration from YAML.
 *
 * @param name - What to call it in errors.
 * @throws ConfigError with everything that is wrong with it.
 */
export function parseConfig(text: string, name = 'The configuration'): Config {
  const { value, document, lines } = parseYaml(text, name);
  const result = configSchema.safeParse(value);
  if (result.success) return freeze(result.data);
  throw new ConfigError(
    name,
    result.error.issues.flatMap(describe).map(({ path, message }) => ({
      path: writePath(path),
      message,
      line: lineOf(document, lines, path),
    })),
  );
}

/** Where things are in a file: the line, from 1, of a place or of the nearest around it. */
export function findLines(text: string): (path: readonly PropertyKey[]) => number | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  return (path) => lineOf(document, lines, path);
}

/**
 * What is written in a configuration, as it is written: without defaults, and not checked.
 *
 * @throws ConfigError when it is no YAML.
 */
export function parseInput(text: string, name = 'The configuration'): unknown {
  return parseYaml(text, name).value;
}

function parseYaml(text: string, name: string) {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) throw new ConfigError(name, explainYaml(document.errors, text, lines));
  try {
    return { value: (document.toJS() ?? {}) as unknown, document, lines };
  } catch (cause) {
    // Aliases that are unresolved or multiply without bound are found only here.
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(name, [{ path: '', message, line: undefined }], { cause });
  }
}

/**
 * A configuration made by the program itself, such as that of the sandbox.
 *
 * @throws ConfigError
 */
export function buildConfig(input: ConfigInput): Config {
  const result = configSchema.safeParse(input);
  if (result.success) return freeze(result.data);
  const problems = result.error.issues
    .flatMap(describe)
    .map(({ path, message }) => ({ path: writePath(path), message, line: undefined }));
  throw new ConfigError('The configuration', problems);
}

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** One sentence for each thing to mend; values are not repeated, since a file may hold what is nobody's business. */
function describe(issue: z.core.$ZodIssue): Fault[] {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...issue.path, key], message: explainUnknownKey(issue.path, key) }));
    case 'invalid_type':
      return [{ path: issue.path, message: explainType(issue) }];
    case 'invalid_value':
      if (!issue.message.startsWith('Invalid')) return [{ path: issue.path, message: issue.message }];
      return [{ path: issue.path, message: `expected ${issue.values.map((value) => String(value)).join(' or ')}` }];
    case 'too_small':
    case 'too_big':
      return [{ path: issue.path, message: boundMessage(issue) }];
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path: issue.path, message }));
    case 'invalid_union':
      return [{ path: issue.path, message: issue.message }];
    default:
      return [{ path: issue.path, message: issue.message }];
  }
}

function boundMessage(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  if (!issue.message.startsWith('Too ')) return issue.message;
  const counted = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : '';
  return issue.code === 'too_small'
    ? `expected at least ${String(issue.minimum)}${counted}`
    : `expected at most ${String(issue.maximum)}${counted}`;
}

/** The line of the nearest place that is in the file: a missing key is reported where its parent is. */
function lineOf(document: Document.Parsed, lines: LineCounter, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true) as { range?: readonly number[] } | undefined;
    const start = node?.range?.[0];
    if (start !== undefined) return lines.linePos(start).line;
  }
  return undefined;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
