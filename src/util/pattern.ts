import { type Context, createContext, Script } from 'node:vm';

/** Most milliseconds that a pattern may take over one text: far more than any takes that is of use. */
const PATTERN_MS = 100;
/** How often a pattern is tried that was ended while the machine was busy with something else. */
const PATTERN_ATTEMPTS = 10;
/** A pattern that was ended this often is not tried with the texts that are left. */
const MOST_SLOW_TEXTS = 3;
/** Nor is one that took this many microseconds of the processor over many texts together. */
const MANY_TEXTS_US = 500_000;

/** Named groups of a match. */
export type Groups = Readonly<Record<string, string | undefined>>;

/** A regular expression for the whole of a text; undefined when it is none. */
export function compilePattern(pattern: string): RegExp | undefined {
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

/** Whether all of a text matches a pattern; undefined where the pattern took too long and was ended. */
export function testPattern(pattern: string, text: string): boolean | undefined {
  const [match] = matchPattern(pattern, [text]);
  return match === undefined ? undefined : match !== null;
}

/**
 * What a pattern finds in each of many texts: null where it does not match all of the text, undefined where it took too long and was
 * ended, or was not tried any more because it had taken too long over others.
 */
export function matchPattern(pattern: string, texts: readonly string[]): readonly (Groups | null | undefined)[] {
  const expression = compilePattern(pattern);
  if (expression === undefined) return texts.map(() => null);
  const found: (Groups | null | undefined)[] = [];
  const matchTo = (end: number) => () => {
    while (found.length < end) {
      const match = expression.exec(texts[found.length] ?? '');
      found.push(match === null ? null : { ...match.groups });
    }
  };
  const before = process.threadCpuUsage();
  const isSpent = () => found.length > 0 && process.threadCpuUsage(before).user > MANY_TEXTS_US;
  let slow = 0;
  while (found.length < texts.length && slow < MOST_SLOW_TEXTS && !isSpent()) {
    // All of them at once, since a limit costs more than a match; where that takes too long, the one that it stopped at alone.
    if (texts.length > 1 && isDoneInTime(matchTo(texts.length))) break;
    if (isDoneInTimeAlone(matchTo(found.length + 1))) continue;
    found.push(undefined);
    slow += 1;
  }
  return texts.map((_, index) => found[index]);
}

function isDoneInTimeAlone(work: () => void): boolean {
  for (let attempt = 0; attempt < PATTERN_ATTEMPTS; attempt += 1) {
    const before = process.threadCpuUsage();
    if (isDoneInTime(work)) return true;
    // The limit is one of the clock. What has not had half of that of the processor was not slow, it had to wait.
    if (process.threadCpuUsage(before).user > (PATTERN_MS * 1000) / 2) return false;
  }
  return false;
}

/** Only a script of its own can be ended from outside. */
const WORK = new Script('work()');
let context: Context | undefined;

function isDoneInTime(work: () => void): boolean {
  context ??= createContext({});
  context.work = work;
  try {
    WORK.runInContext(context, { timeout: PATTERN_MS });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    return false;
  } finally {
    context.work = undefined;
  }
}
