import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { LocalLabs, LocalLabsError } from '../../../sandbox/index.ts';
import { findMarked, killMarked, MARK } from '../../../sandbox/processes/marked-processes.ts';
import { aFolder, closeAll, closeLater, lives } from './support.ts';

afterEach(closeAll);

async function openLabs(folder: string): Promise<LocalLabs> {
  const labs = await LocalLabs.open(folder);
  closeLater(() => labs.close());
  return labs;
}

const aPodCalled = (uid: string) => ({ metadata: { namespace: 'lab-ada', name: 'lab', uid } });

/** A process with this mark, as one that a lab has left behind. */
async function aProcess(mark: string): Promise<number> {
  const child = spawn('sleep', ['1000'], { env: { ...process.env, [MARK]: mark }, detached: true, stdio: 'ignore' });
  await once(child, 'spawn');
  const ended = once(child, 'exit');
  closeLater(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return child.pid ?? 0;
}

describe('the folder of local labs', () => {
  it('is held by one program at a time, whatever it is called by', async () => {
    const folder = await aFolder();
    const other = `${folder}-link`;
    await symlink(folder, other);
    const labs = await LocalLabs.open(folder);
    await expect(LocalLabs.open(folder)).rejects.toThrow(/another program runs local labs in this folder/);
    await expect(LocalLabs.open(other)).rejects.toBeInstanceOf(LocalLabsError);
    await labs.close();
    await openLabs(other);
  });

  it('is for its owner only, also where it was there before', async () => {
    const folder = join(await aFolder(), 'open');
    await mkdir(folder);
    await chmod(folder, 0o755);
    await openLabs(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
  });

  it('keeps a secret in a file for its owner only, in place of whatever was there', async () => {
    const folder = await aFolder();
    const elsewhere = join(await aFolder(), 'elsewhere');
    await writeFile(elsewhere, 'untouched');
    await symlink(elsewhere, join(folder, 'token'));
    const labs = await openLabs(folder);
    await labs.writeSecret('token', 'first');
    await labs.writeSecret('token', 'second');
    expect(await readFile(join(folder, 'token'), 'utf8')).toBe('second\n');
    expect((await stat(join(folder, 'token'))).mode & 0o777).toBe(0o600);
    expect(await readFile(elsewhere, 'utf8')).toBe('untouched');
  });

  it('is opened after what an earlier program left behind in it has been killed, and nothing else', async () => {
    const [folder, other] = [await aFolder(), await aFolder()];
    const [first, neighbour] = [await LocalLabs.open(folder), await openLabs(other)];
    const left = first.markOf(aPodCalled('1'));
    await first.close();
    const leftover = await aProcess(left);
    const foreign = await aProcess(neighbour.markOf(aPodCalled('1')));
    await openLabs(folder);
    expect(lives(leftover)).toBe(false);
    expect(lives(foreign)).toBe(true);
  });

  it('takes the processes with it that still run when it is closed', async () => {
    const labs = await LocalLabs.open(await aFolder());
    const running = await aProcess(labs.markOf(aPodCalled('1')));
    await labs.close();
    expect(lives(running)).toBe(false);
  });
});

describe('the mark of a process', () => {
  it('finds that process and no other', async () => {
    const [ada, bob] = [await aProcess('f.run.ada'), await aProcess('f.run.bob')];
    expect(await findMarked('f.run.ada')).toEqual([ada]);
    expect((await findMarked('f.run.')).sort()).toEqual([ada, bob].sort());
    expect(await findMarked('run.ada')).toEqual([]);
    expect(await killMarked('f.run.ada')).toBe(true);
    expect([ada, bob].filter(lives)).toEqual([bob]);
  });
});
