import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { waitFor } from './wait-for.ts';
import { LoggedProcess, readLog } from './logged-process.ts';

const DEADLINE_MS = 20_000;
const folder = mkdtempSync(join(tmpdir(), 'labwright-logged-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('adds what a program writes to its log, and knows that it has ended', async () => {
  const log = join(folder, 'words');
  const program = { command: process.execPath, args: ['-p', 'process.env.WORD'], log };
  const first = new LoggedProcess({ ...program, env: { WORD: 'one' } });
  await waitFor('the first to end', DEADLINE_MS, () => first.hasEnded || undefined);
  const second = new LoggedProcess({ ...program, env: { WORD: 'two' } });
  await waitFor('the second to end', DEADLINE_MS, () => second.hasEnded || undefined);
  expect(readLog(log)).toBe('one\ntwo\n');
});

it('kills a program and waits for its end, once', async () => {
  const sleeper = new LoggedProcess({ command: 'sleep', args: ['1000'], log: join(folder, 'sleeper') });
  expect(sleeper.hasEnded).toBe(false);
  await sleeper.kill();
  expect(sleeper.hasEnded).toBe(true);
  await sleeper.kill();
});

it('takes a program that cannot be started for one that has ended', async () => {
  const missing = new LoggedProcess({ command: join(folder, 'missing'), args: [], log: join(folder, 'log') });
  expect(missing.hasEnded).toBe(true);
  expect(missing.pid).toBeUndefined();
  await missing.kill();
});

it('has no log where nothing was written', () => {
  expect(readLog(join(folder, 'none'))).toBe('');
});
