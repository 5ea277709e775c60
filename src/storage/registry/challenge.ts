/** One way in which a server wants to be shown who is asking (RFC 9110, 11.6.1). */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PIECE = new RegExp(
  `\\s*(?:,\\s*)*(${TOKEN})(?:\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))|(?=\\s|,|$))`,
  'y',
);
/** Nobody needs more. */
const HEADER_LENGTH = 8 * 1024;

/** The challenges of a WWW-Authenticate header, as far as it can be read; a header may have several, and a header may come again. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const challenges: Challenge[] = [];
  for (const text of header === undefined ? [] : [header].flat()) {
    if (text.length > HEADER_LENGTH) continue;
    let parameters: Record<string, string> | undefined;
    PIECE.lastIndex = 0;
    for (let piece = PIECE.exec(text); piece !== null; piece = PIECE.exec(text)) {
      const [, name = '', quoted, plain] = piece;
      const value = plain ?? quoted?.replaceAll(/\\(.)/g, '$1');
      if (value === undefined) {
        parameters = {};
        challenges.push({ scheme: name.toLowerCase(), parameters });
      } else if (parameters !== undefined) {
        parameters[name.toLowerCase()] ??= value;
      }
    }
  }
  return challenges;
}
