import type { Reason } from '../lab/reasons.ts';

/** What one line of repo2docker's log says. */
export interface Repo2dockerLine {
  /** For a terminal as it is: with its newline where repo2docker gave it one, and of several lines where it did. */
  readonly text: string;
  /** repo2docker's word for what it does: `fetching`, `building`, `pushing`, `failed`; null where it says none, and
   * `unknown` for a line that is not its own. */
  readonly phase: string | null;
  /** repo2docker has given up. */
  readonly isFatal: boolean;
  /** Why, where the builder image has a word for it. */
  readonly reason?: Reason;
}

/** Words of the builder image for why a build has failed (deploy/builder, `failures.py`). Any other is not taken from a log. */
const REASONS: ReadonlySet<string> = new Set<Reason>([
  'BaseImageDenied',
  'BaseImageNotFound',
  'BuildFailed',
  'CertificateNotTrusted',
  'HostNotFound',
  'LayerTooLarge',
  'LfsUnavailable',
  'NoSpace',
  'OOMKilled',
  'PushFailed',
  'RateLimited',
  'RefNotFound',
  'RegistryDenied',
  'RegistryRepositoryMissing',
  'RegistryUnavailable',
  'RepositoryNotFound',
  'RepositoryUnavailable',
  'SubmoduleUnavailable',
]);

/** BinderHub's word for what repo2docker has not said. */
const UNKNOWN = 'unknown';
/** Python's words for a command that failed; before them is its argument list, between quotes. */
const COMMAND = "Command '";
const COMMAND_END = /^' (?:returned non-zero exit status (\d+)|died with <Signals\.(\w+)[^>]*>)\.?/;
/** What runs, by the words it begins with: the name of a step that means something to a person. */
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/^git\b/, 'Fetching the repository'],
  [/\bpush\b/, 'Pushing the image'],
  [/\b(?:build|bud|buildx)\b/, 'Building the image'],
];
/** `\ud83d`. */
const LONGEST_ESCAPE = 6;
const PHASE = /^[a-z]{1,32}$/;

/**
 * Reads a line as repo2docker writes it with `--json-logs`; anything else passes as it is. Argument lists and tracebacks
 * are left out: they say nothing to a person, and an argument may be secret.
 *
 * @param line without its newline
 */
export function parseRepo2dockerLine(line: string): Repo2dockerLine {
  const entry = line.startsWith('{') ? (parseEntry(line) ?? recoverMessage(line)) : undefined;
  if (entry === undefined) return { text: `${line}\n`, phase: UNKNOWN, isFatal: false };
  const phase = typeof entry.phase === 'string' && PHASE.test(entry.phase) ? entry.phase : null;
  const isFatal = phase === 'failed' || phase === 'failure';
  const reason = isFatal && REASONS.has(String(entry.reason)) ? { reason: entry.reason as Reason } : {};
  return { text: isFatal ? withoutCommand(entry.message) : entry.message, phase, isFatal, ...reason };
}

/** Whether a fatal line says no more than that a step failed: why is in the lines before it. */
export function isBareFailure(text: string): boolean {
  // A command of the repository that fails is the cause itself.
  if (/^\s*Step \d+\/\d+: RUN /.test(text)) return false;
  return /(?:failed with exit (?:status|code) \d+|was ended by \w+)\.\s*$/.test(text.slice(-80));
}

interface Entry {
  readonly message: string;
  readonly phase?: unknown;
  readonly reason?: unknown;
}

function parseEntry(line: string): Entry | undefined {
  try {
    const entry = JSON.parse(line) as Partial<Entry> | null;
    return typeof entry?.message === 'string' ? { ...entry, message: entry.message } : undefined;
  } catch {
    return undefined;
  }
}

/** What there is of the message of a line whose end is missing: what follows it may be a traceback. */
function recoverMessage(line: string): Entry | undefined {
  const start = /^\{\s*"message":\s*(?=")/.exec(line)?.[0].length;
  if (start === undefined) return undefined;
  const end = closingQuote(line, start + 1);
  if (end !== -1) return parseEntry(`{"message":${line.slice(start, end + 1)}}`);
  const [mark = ''] = / \[… \d+ more bytes\]$/.exec(line.slice(-40)) ?? [];
  const literal = line.slice(start, line.length - mark.length);
  // The end may lie within an escape.
  for (let less = 0; less <= LONGEST_ESCAPE && less < literal.length; less += 1) {
    const entry = parseEntry(`{"message":${literal.slice(0, literal.length - less)}"}`);
    if (entry !== undefined) return { message: entry.message + mark };
  }
  return undefined;
}

/** Where the string literal ends that begins before `from`; -1 when its end is missing. */
function closingQuote(line: string, from: number): number {
  for (let at = line.indexOf('"', from); at !== -1; at = line.indexOf('"', at + 1)) {
    let slashes = 0;
    while (line[at - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return at;
  }
  return -1;
}

function withoutCommand(message: string): string {
  const start = message.indexOf(COMMAND);
  if (start === -1) return message;
  const end = Math.max(
    message.lastIndexOf("' returned non-zero exit status "),
    message.lastIndexOf("' died with <Signals."),
  );
  const match = end > start ? COMMAND_END.exec(message.slice(end)) : null;
  if (match === null) return message;
  const [found, status, signal] = match;
  const sentence = commandSentence(message.slice(start + COMMAND.length, end), status, signal);
  return `${message.slice(0, start)}${sentence}${message.slice(end + found.length)}`;
}

function commandSentence(command: string, status: string | undefined, signal: string | undefined): string {
  const words = command
    .slice(0, 200)
    .replaceAll(/[[\]',"]+/g, ' ')
    .trim();
  const step = STEPS.find(([pattern]) => pattern.test(words))?.[1] ?? 'A step';
  return status === undefined
    ? `${step} was ended by ${signal ?? 'a signal'}.`
    : `${step} failed with exit status ${status}.`;
}
