import { spawn } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';

/** Runs the fixture in a vitest of its own, with these leaks. */
async function runFixture(leaks: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/support/canaries-fixture/vitest.config.ts'],
    {
      // The sandbox will do.
      env: { ...process.env, LEAKS: leaks.join(','), LABWRIGHT_TEST_CLUSTER: '', NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  const take = (chunk: Buffer) => (output += chunk.toString('utf8'));
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

const LEAKS: readonly (readonly [string, string, RegExp])[] = [
  ['log', 'a log line', /^log line: .*canary-in-log/m],
  ['child', 'what a child logger has with it', /^log line: .*canary-in-child/m],
  ['error', 'the cause of a logged error', /^log line: .*canary-in-error/m],
  ['base64', 'a log line, as base64', /^log line: .*eGNhbmFyeS1pbi1iYXNlNjQ/m],
  ['output', 'standard error', /^standard error: .*canary-in-output/m],
  ['answer', 'the body of an answer', /^body of the answer to GET: .*canary-in-answer/m],
  ['header', 'a header of an answer', /^header x-echo of the answer to GET: .*canary-in-header/m],
  ['client', 'an answer over the network', /^answer to GET .*canary-in-client/m],
  ['written', 'an object that is deleted again', /^POST \S+\/configmaps\S*: .*canary-in-written/m],
  ['annotation', 'an annotation of a Secret', /^POST \S+\/secrets\S*: .*canary-in-annotation/m],
  ['left', 'an object that is left in the cluster', /^ConfigMap in the cluster: .*canary-in-left/m],
];

describe('a test file that lets a planted credential into', () => {
  let run: Awaited<ReturnType<typeof runFixture>>;
  beforeAll(async () => {
    run = await runFixture(LEAKS.map(([leak]) => leak));
  });

  it.each(LEAKS)('%s (%s) is told where', (_leak, _what, finding) => {
    expect(run.output).toMatch(finding);
  });

  it('any of these fails', () => {
    expect(run.output).toContain('A planted credential was seen');
    expect(run.output).toContain(`${LEAKS.length} passed`);
    expect(run.code).toBe(1);
  });

  it('the data of a Secret and nothing else passes', async () => {
    const { code, output } = await runFixture(['nothing', 'secret']);
    expect(output).not.toContain('A planted credential was seen');
    expect(output).toContain('2 passed');
    expect(code).toBe(0);
  });
});
