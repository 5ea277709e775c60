import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';

/** Runs the fixture in a vitest of its own, with one kind of leak. */
async function runFixture(leak: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/support/leaks-fixture/vitest.config.ts'],
    { env: { ...process.env, LEAK: leak, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

it.concurrent.for([
  ['server', 'leaves behind: 1 TCPServerWrap'],
  ['timer', 'leaves behind: 1 Timeout'],
  ['rejection', 'nobody looks at this'],
])('a test file that leaves a %s behind fails and says so', async ([leak = '', sentence], { expect: expectHere }) => {
  const { code, output } = await runFixture(leak);
  expectHere(output).toContain(sentence);
  expectHere(code).toBe(1);
});

it('a test file that leaves nothing behind passes', async () => {
  const { code, output } = await runFixture('nothing');
  expect(output).toContain('1 passed');
  expect(code).toBe(0);
});
