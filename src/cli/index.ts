/** The command line. `serve` is what the composition root does itself; every other command is run here. */
import type { Command, ServeCommand } from './arguments.ts';
import { USAGE } from './arguments.ts';
import { checkConfig } from './check-config.ts';
import type { TryInCluster } from './try-in-cluster.ts';
import { importValues } from './import/index.ts';
import { render } from './render.ts';
import { renderBuild } from './render-build.ts';
import { printSchema } from './print-schema.ts';
import { printed, refused, type CommandResult } from './result.ts';
import { readVersion } from './version.ts';

export {
  parseArguments,
  requireLoopback,
  UsageError,
  USAGE,
  type Command,
  type RenderCommand,
  type ServeCommand,
} from './arguments.ts';
export { checkLabs } from './check-labs.ts';
export { remarkOnHomes } from './lab-remarks.ts';
export { readVersion } from './version.ts';
export type { Refusal, TryInCluster } from './try-in-cluster.ts';
export type { CommandResult } from './result.ts';

/**
 * Runs any command but `serve`.
 *
 * @param tryInCluster what `check-config --cluster` asks
 */
export async function runCommand(
  command: Exclude<Command, ServeCommand>,
  tryInCluster?: TryInCluster,
): Promise<CommandResult> {
  switch (command.command) {
    case 'check-config':
      return checkConfig(command.file, command.cluster ? tryInCluster : undefined);
    case 'import':
      return importValues(command);
    case 'render':
      return render(command);
    case 'render-build':
      return renderBuild(command);
    case 'schema':
      return printSchema();
    case 'help':
      return printed(USAGE);
    case 'version':
      return printed(`${readVersion()}\n`);
  }
}

/** What to print for a command line that cannot be understood. */
export function explainUsage(message: string): CommandResult {
  return refused(`labwright: ${message}\n\n${USAGE.trimEnd()}`, 2);
}
