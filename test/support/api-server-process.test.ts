import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startServerProcess } from './api-server-process.ts';
import { waitFor } from './wait-for.ts';

const GONE = 10_000;

/** Runs a program that starts a server and then waits to be killed. */
async function startParent(folder: string): Promise<{ pid: number; kill(signal: NodeJS.Signals): void }> {
  const program = `
    import { startServerProcess } from ${JSON.stringify(join(import.meta.dirname, 'api-server-process.ts'))};
    const server = startServerProcess('sleep', 'sleep', ['1000'], ${JSON.stringify(folder)});
    process.stdout.write(server.pid + '\\n');
    setInterval(() => undefined, 1000);
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (data: Buffer) => resolve(Number(data))),
  );
  return { pid, kill: (signal) => parent.kill(signal) };
}

/** Whether any process of the group is there. */
function groupLives(pid: number): boolean {
  try {
    process.kill(-pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a server process', () => {
  it.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
    'ends with its parent on %s, and its folder is removed',
    async (signal) => {
      const folder = mkdtempSync(join(tmpdir(), 'labwright-guard-'));
      const parent = await startParent(folder);
      expect(groupLives(parent.pid)).toBe(true);
      parent.kill(signal);
      await waitFor('the group to end', GONE, () => (groupLives(parent.pid) ? undefined : true));
      await waitFor('the folder to go', GONE, () => (existsSync(folder) ? undefined : true));
    },
  );

  it('ends when it is stopped', async () => {
    const server = startServerProcess('sleep', 'sleep', ['1000']);
    expect(groupLives(server.pid)).toBe(true);
    await server.stop();
    await waitFor('the group to end', GONE, () => (groupLives(server.pid) ? undefined : true));
    expect(server.exited()).toBe(true);
  });

  it('keeps its last words when it ends by itself', async () => {
    const server = startServerProcess('sh', 'sh', ['-c', 'echo no such port >&2; exit 3']);
    await waitFor('its end', GONE, () => (server.exited() ? true : undefined));
    await waitFor('its output', GONE, () => (server.output().includes('ended with 3') ? true : undefined));
    expect(server.output()).toContain('no such port');
  });
});
