#!/usr/bin/env node
import { connectTo, resolveRuntime } from './app/runtime.ts';
import { serve } from './app/serve.ts';
import { tryInCluster } from './app/try-in-cluster.ts';
import { explainUsage, parseArguments, runCommand, UsageError } from './cli/index.ts';
import { ConfigError } from './config/index.ts';
import { SetupError } from './domain/setup-error.ts';

/** How long others may hold up the end of this process, in milliseconds. */
const LEFT_BEHIND_MS = 2_000;

/** The first signal stops in order, a second one at once. */
function stopOnSignals(): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return stop.signal;
}

/** Whoever reads has enough of it, as in `labwright schema | head`. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

async function main(args: readonly string[]): Promise<number> {
  const command = parseArguments(args);
  if (command.command !== 'serve') {
    const { exitCode, stdout, stderr } = await runCommand(command, async (config, tries) => {
      const connection = await connectTo(config);
      try {
        return await tryInCluster(connection, tries);
      } finally {
        await connection.close();
      }
    });
    process.stdout.on('error', endQuietly);
    process.stdout.write(stdout);
    process.stderr.write(stderr);
    return exitCode;
  }
  const stopping = stopOnSignals();
  const runtime = await resolveRuntime(command);
  try {
    await serve(runtime, stopping);
  } finally {
    await runtime.cluster.close();
    // Everything of ours has ended; a plugin for credentials that hangs is a process of somebody else's.
    setTimeout(() => process.exit(), LEFT_BEHIND_MS).unref();
  }
  return 0;
}

/** One sentence for what the person who started it can mend; anything else is a fault of ours, with its stack. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return explainUsage(error.message).stderr;
  if (error instanceof ConfigError) return `${error.message}\n`;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return `labwright: ${message}. Choose another port with --port.\n`;
  if (code !== undefined || error instanceof SetupError || (error as Error).name === 'FaultsError')
    return `labwright: ${message}\n`;
  return `labwright: ${stack ?? String(error)}\n`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(explain(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
