import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { ContainerProblem } from '../kubelet/containers.ts';
import { messages } from '../kubelet/messages.ts';

/**
 * Finds the program of a command as a container runtime does: on PATH, or at its path when it is one.
 *
 * @param path the value of PATH; folders in it that are not absolute do not count
 * @param folder where a relative path with a slash begins
 * @throws ContainerProblem when there is none, or none that can be run
 */
export async function findCommand(command: string, path: string, folder: string): Promise<string> {
  if (command.includes('/')) {
    const problem = await problemWith(resolve(folder, command));
    if (problem === undefined) return resolve(folder, command);
    throw notStarted(
      problem === 'missing'
        ? `exec: ${quoted(command)}: stat ${command}: no such file or directory`
        : `exec: ${quoted(command)}: permission denied`,
    );
  }
  for (const candidate of path.split(delimiter).filter(isAbsolute)) {
    const file = join(candidate, command);
    if ((await problemWith(file)) === undefined) return file;
  }
  throw notStarted(messages.noExecutable(command));
}

/** A start that failed, in the words of a container runtime. */
export function notStarted(why: string, options?: ErrorOptions): ContainerProblem {
  return new ContainerProblem('start', messages.notStarted(why), options);
}

async function problemWith(file: string): Promise<'missing' | 'forbidden' | undefined> {
  try {
    if (!(await stat(file)).isFile()) return 'forbidden';
  } catch {
    return 'missing';
  }
  return access(file, constants.X_OK).then(
    () => undefined,
    () => 'forbidden' as const,
  );
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
