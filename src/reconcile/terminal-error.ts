/** What a run throws when trying again cannot help: it is reported, and its key waits for the next change. */
export class TerminalError extends Error {
  override readonly name: string = 'TerminalError';
}
