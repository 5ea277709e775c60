import { chmod, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { LabLog } from '../../../sandbox/processes/lab-log.ts';
import { aFolder, closeAll } from './support.ts';

afterEach(closeAll);

async function logged(stdout: readonly Buffer[], stderr: readonly Buffer[]) {
  const path = join(await aFolder(), 'lab.log');
  await writeFile(path, 'of an earlier lab');
  await chmod(path, 0o644);
  const log = await LabLog.open(path);
  await Promise.all([log.follow(Readable.from(stdout), 'stdout'), log.follow(Readable.from(stderr), 'stderr')]);
  await log.close();
  return { path, lastWords: log.lastWords };
}

describe('the log of a local lab', () => {
  it('begins anew, for its owner only', async () => {
    const { path } = await logged([Buffer.from('out\n')], []);
    expect(await readFile(path, 'utf8')).toBe('out\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('reads everything and keeps 16 MiB of it', async () => {
    const chunk = Buffer.alloc(3 * 2 ** 20, 'x');
    const { path, lastWords } = await logged(
      Array.from({ length: 8 }, () => chunk),
      [Buffer.from('the end')],
    );
    expect((await stat(path)).size).toBe(16 * 2 ** 20);
    expect(lastWords).toBe('the end');
  });

  it('remembers the last 80 lines or 2048 bytes of standard error, whichever is less, in whole characters', async () => {
    const lines = Array.from({ length: 100 }, (_none, at) => `${at}\n`).join('');
    expect((await logged([Buffer.from('not this')], [Buffer.from(lines)])).lastWords.split('\n')).toHaveLength(80);
    const { lastWords } = await logged([], [Buffer.from(`${'é'.repeat(2000)}!`)]);
    expect(lastWords).toBe(`${'é'.repeat(1023)}!`);
  });

  it('does not follow a link that somebody put in its place', async () => {
    const folder = await aFolder();
    await writeFile(join(folder, 'precious'), 'untouched');
    await symlink(join(folder, 'precious'), join(folder, 'lab.log'));
    await expect(LabLog.open(join(folder, 'lab.log'))).rejects.toMatchObject({ code: 'ELOOP' });
    expect(await readFile(join(folder, 'precious'), 'utf8')).toBe('untouched');
  });
});
