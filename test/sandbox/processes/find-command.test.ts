import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findCommand } from '../../../sandbox/processes/find-command.ts';
import { aFolder, closeAll } from './support.ts';

afterEach(closeAll);

describe('the program of a command', () => {
  async function aProgram(folder: string, name: string, mode = 0o755): Promise<string> {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, name), '#!/bin/sh\n');
    await chmod(join(folder, name), mode);
    return join(folder, name);
  }

  it('is the first on PATH that can be run', async () => {
    const folder = await aFolder();
    await aProgram(join(folder, 'a'), 'lab', 0o644);
    await mkdir(join(folder, 'b', 'lab'), { recursive: true });
    const right = await aProgram(join(folder, 'c'), 'lab');
    await aProgram(join(folder, 'd'), 'lab');
    const path = ['', 'c', 'none', 'a', 'b', 'c', 'd'].map((name) => (name === '' ? '' : join(folder, name))).join(':');
    expect(await findCommand('lab', path.replace(join(folder, 'c'), 'c'), folder)).toBe(right);
  });

  it('is the one at its path, where it is one', async () => {
    const folder = await aFolder();
    const program = await aProgram(folder, 'lab');
    expect(await findCommand('./lab', '', folder)).toBe(program);
    expect(await findCommand(program, '', '/')).toBe(program);
    await expect(findCommand('lab', '.', folder)).rejects.toThrow('executable file not found in $PATH');
  });
});
