import type { ErrorCode, LineCounter, YAMLParseError } from 'yaml';
import type { ConfigProblem } from './load.ts';

const INDENTATION = 'the indentation does not fit the lines around it';

/** The faults that people make, in our words. The library's own say how a parser sees them. */
const FAULTS: Partial<Record<ErrorCode, string>> = {
  TAB_AS_INDENT: 'tabs cannot indent: use spaces',
  BAD_INDENT: INDENTATION,
  MULTILINE_IMPLICIT_KEY: INDENTATION,
  BLOCK_AS_IMPLICIT_KEY: `a value with a colon needs quotes, or ${INDENTATION}`,
  BLOCK_IN_FLOW: INDENTATION,
  MISSING_CHAR: 'a quote, a bracket, a brace or a comma is missing here or before',
};

/**
 * What is wrong with a text that is no YAML. Of faults other than keys that are there twice only the first is told: the parser stumbles
 * over what follows.
 */
export function explainYaml(errors: readonly YAMLParseError[], text: string, lines: LineCounter): ConfigProblem[] {
  const first = errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  return errors
    .filter((error) => error === first || error.code === 'DUPLICATE_KEY')
    .map(({ code, message, pos: [start, end] }) => {
      const { line, col } = lines.linePos(start);
      const key = /^["']?([^"':\n]*)/.exec(text.slice(start, Math.max(end, start + 100)))?.[1]?.trim() ?? '';
      const said = code === 'DUPLICATE_KEY' ? `the key "${key}" is there twice` : FAULTS[code];
      return { path: '', message: `${said ?? message} (column ${String(col)})`, line };
    });
}
