import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What the names of files begin with that are not complete. */
export const TEMPORARY = '.writing-';

/** A file of the store. */
export interface LogFile {
  readonly name: string;
  /** Of the build; undefined for a file that is not complete. */
  readonly id: string | undefined;
  readonly size: number;
  /** When it was written, milliseconds since the epoch. */
  readonly at: number;
}

/** The files of the store, newest first, and those that were not completed. Foreign files are left out. */
export async function listLogFiles(
  directory: string,
  idOf: (name: string) => string | undefined,
): Promise<{ logs: LogFile[]; leftovers: LogFile[] }> {
  const files: LogFile[] = [];
  for await (const entry of await opendir(directory)) {
    const id = idOf(entry.name);
    if (!entry.isFile() || (id === undefined && !entry.name.startsWith(TEMPORARY))) continue;
    // Another controller may have removed it by now.
    const found = await stat(join(directory, entry.name)).catch(() => undefined);
    if (found !== undefined) files.push({ name: entry.name, id, size: found.size, at: found.mtimeMs });
  }
  files.sort((a, b) => b.at - a.at);
  return { logs: files.filter(({ id }) => id !== undefined), leftovers: files.filter(({ id }) => id === undefined) };
}

/** Which of the files, newest first, are too old or too much. */
export function surplusOf(
  logs: readonly LogFile[],
  bounds: { readonly totalSize: number; readonly retention: number; readonly files: number; readonly now: number },
): LogFile[] {
  let size = 0;
  return logs.filter((file, index) => {
    size += file.size;
    return size > bounds.totalSize || index >= bounds.files || bounds.now - file.at > bounds.retention;
  });
}
