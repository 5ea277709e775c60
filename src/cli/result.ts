/** What a command leaves behind: it prints and exits only through its caller. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Success. */
export function printed(stdout: string): CommandResult {
  return { exitCode: 0, stdout, stderr: '' };
}

/** Failure. */
export function refused(message: string, exitCode = 1): CommandResult {
  return { exitCode, stdout: '', stderr: `${message}\n` };
}
