/** A stream is not what it should be: JSON, one value on each line. The message quotes nothing of it. */
export class JsonLinesError extends Error {
  override readonly name = 'JsonLinesError';
}

export interface JsonLinesOptions {
  /** Longest line, in characters. */
  readonly longest: number;
  /**
   * What is wrong with a stream whose last line has no end, for those that may break off; where absent, such a line is taken
   * as it is.
   */
  readonly unfinished?: string;
}

const TOO_LONG = 'a line of the stream is too long';

/**
 * The values of a stream that has one on each line; lines without anything are left out. What came before an error has been
 * delivered.
 *
 * @param chunks bytes, or text that is cut between characters
 * @throws {JsonLinesError} a line that is no JSON, is too long or has no end
 * @throws what the stream fails with
 */
export async function* jsonLines(
  chunks: AsyncIterable<Uint8Array | string>,
  { longest, unfinished }: JsonLinesOptions,
): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  // Kept in pieces: to put a long line together again with every chunk would take the square of its length.
  let pieces: string[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const [first = '', ...others] = text.split('\n');
    pieces.push(first);
    length += first.length;
    for (const next of others) {
      if (length > longest) throw new JsonLinesError(TOO_LONG);
      const line = pieces.join('');
      pieces = [next];
      length = next.length;
      if (line.trim() !== '') yield parse(line);
    }
    if (length > longest) throw new JsonLinesError(TOO_LONG);
  }
  const rest = pieces.join('') + decoder.decode();
  if (rest.trim() === '') return;
  if (unfinished !== undefined) throw new JsonLinesError(unfinished);
  yield parse(rest);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    // Without the cause: it quotes the line.
    throw new JsonLinesError('a line of the stream is not JSON');
  }
}
