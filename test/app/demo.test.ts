import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import '../support/leaks.ts';
import { aFolder, closeAll, closeLater } from '../sandbox/processes/support.ts';
import { freePort } from '../support/free-port.ts';
import { LoggedProcess, readLog } from '../support/logged-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const GREETED = 'All routes:';
const run = promisify(execFile);

afterEach(closeAll);

/** `npm start` as a newcomer runs it. @returns the commands that it prints, and a way to run them */
async function aStart(...args: readonly string[]) {
  const folder = await aFolder();
  const log = join(folder, 'log');
  const program = new LoggedProcess({
    command: process.execPath,
    args: [MAIN, '--port', String(await freePort()), ...args],
    cwd: folder,
    log,
  });
  closeLater(() => program.kill());
  await waitFor('the greeting', 20_000, () => (readLog(log).includes(GREETED) ? true : undefined));
  const commands = [...readLog(log).matchAll(/^ {2}((?:export|curl|BUILD)\b.*)$/gm)].map(([, command = '']) => command);
  return { program, log: () => readLog(log), commands };
}

/** What each command of a terminal says, one after the other. */
async function runAll(commands: readonly string[]): Promise<string[]> {
  const script = commands.map((command) => `${command}; printf '\\0'`).join('\n');
  const { stdout } = await run('bash', ['-c', script], { timeout: 50_000, maxBuffer: 2 ** 22 });
  return stdout.replaceAll('\r\n', '\n').split('\0');
}

it(
  'prints commands that start a lab, build an image, and start a lab from a repository',
  { timeout: 60_000 },
  async () => {
    const { commands, log, program } = await aStart();
    const [, created, events, state, , build, fromRepository, itsEvents] = await runAll(commands);
    expect(created).toMatch(/^HTTP\/1\.1 201 /);
    expect(events).toContain('event: complete');
    expect(state).toContain('"internal_url":"http://127.');
    expect(build).toMatch(/event: ready\ndata: .*"image_reference":"127\.0\.0\.1:\d+\/[^"]+@sha256:[0-9a-f]{64}"/);
    expect(build).toContain('STEP 1/11');
    expect(fromRepository).toMatch(/^HTTP\/1\.1 201 /);
    for (const message of ['Waiting for its turn', 'STEP 1/11', 'Pushing', 'Asking the registry', 'Pulling image']) {
      expect(itsEvents).toContain(message);
    }
    expect(itsEvents?.match(/event: (?:complete|failed)/g)).toEqual(['event: complete']);
    await program.kill('SIGTERM');
    // Whoever tries it is told of nothing that is wrong, not at its end either.
    expect(log()).not.toContain('"level"');
  },
);

it('with local labs builds nothing and says so', { timeout: 60_000 }, async () => {
  const { log } = await aStart('--with-local-labs');
  expect(log()).toContain('No images are built from repositories');
  expect(log()).not.toContain('image_repo');
});
