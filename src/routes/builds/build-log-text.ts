import type { StreamFormat } from '../server/streams/pulled-stream.ts';

/** Lines of a log, each with its end. No line is the last by what is in it: the log ends with its source. */
export const LOG_LINES: StreamFormat<string> = {
  format: (line) => (line.endsWith('\n') ? line : `${line}\n`),
  isLast: () => false,
  // A log has many short lines, and each piece costs a write.
  batch: 64 * 1024,
};
