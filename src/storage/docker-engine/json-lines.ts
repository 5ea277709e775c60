import { EngineError } from './engine-error.ts';

/** Longer than any event or report of progress. */
const LONGEST = 2 ** 20;

/** The JSON values of a stream that has one on each line. @throws {EngineError} for what is none, or has no end */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of chunks) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield parse(line);
    if (text.length > LONGEST) throw new EngineError(0, 'the engine sends a line without an end');
  }
  if (text.trim() !== '') yield parse(text);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (cause) {
    throw new EngineError(0, 'the engine sends what is not JSON', { cause });
  }
}
