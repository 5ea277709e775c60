import { spawn } from 'node:child_process';

/** A server that lives no longer than this process, however this process ends. */
export interface ServerProcess {
  readonly name: string;
  /** The shell that guards the server; also the id of its process group. */
  readonly pid: number;
  /** The last lines of what it wrote. */
  readonly output: () => string;
  readonly exited: () => boolean;
  /** Ends the whole group at once and waits until it is gone. */
  stop(): Promise<void>;
}

/**
 * The guard: a shell in a session of its own that runs the server and reads a pipe from us. When we end, by whatever
 * signal, the pipe closes, and it kills the server and removes the folder. No handler of ours has to run for that.
 * By then nobody reads what the shell writes, which must not end it.
 */
const GUARD = `
exec 3<&0
folder=$1
shift
"$@" </dev/null 3<&- &
server=$!
trap '' PIPE
(read -r _ <&3; kill -KILL $server) &
wait $server
echo "ended with $?"
[ -z "$folder" ] || rm -rf "$folder"
kill -KILL 0
`;

/**
 * Starts a server under a guard.
 *
 * @param removeFolder a folder that is removed when the server ends; `''` for none
 */
export function startServerProcess(
  name: string,
  command: string,
  args: readonly string[],
  removeFolder = '',
): ServerProcess {
  const child = spawn('/bin/sh', ['-c', GUARD, 'sh', removeFolder, command, ...args], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started: ${command}`);
  let tail = '';
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString('utf8')).slice(-8_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // The pipes must not keep a run alive whose tests are over.
  child.unref();
  return {
    name,
    pid,
    output: () => tail,
    exited: () => child.exitCode !== null || child.signalCode !== null,
    stop: async () => {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
      await ended;
    },
  };
}
