import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isBareFailure, parseRepo2dockerLine } from '../../../src/domain/build/repo2docker-line.ts';

const json = (entry: object) => parseRepo2dockerLine(JSON.stringify(entry));

describe('a line of repo2docker', () => {
  it.each([
    ['with its newline', 'Cloning into …\n', 'fetching'],
    ['of several lines', 'a\r\nb\n\n', 'building'],
    ['without a newline', 'Pushed 10 %\r', 'pushing'],
    ['that is empty', '', 'building'],
  ])('is the message byte for byte: one %s', (_name, message, phase) => {
    expect(json({ message, phase })).toEqual({ text: message, phase, isFatal: false });
  });

  it('has no phase where it says none, or what is no word', () => {
    expect(json({ message: 'Picked Git content provider.\n' }).phase).toBeNull();
    for (const phase of [3, null, '', 'a b', 'X'.repeat(99), { a: 1 }])
      expect(json({ message: 'a', phase }).phase).toBeNull();
  });

  it.each(['failed', 'failure'])('is fatal in the phase %s', (phase) => {
    expect(json({ message: 'Failed to clone repository!\n', phase })).toEqual({
      text: 'Failed to clone repository!\n',
      phase,
      isFatal: true,
    });
  });

  it('has the reason of the builder where it has given up, and no other word', () => {
    const said = (reason: unknown, phase = 'failed') => json({ message: 'No.', phase, reason }).reason;
    expect(said('NoSpace')).toBe('NoSpace');
    expect(said('NoSpace', 'building')).toBeUndefined();
    for (const reason of ['Cancelled', 'Abandoned', 'constructor', '', 3, null, { a: 1 }]) {
      expect(said(reason)).toBeUndefined();
    }
  });

  it.each(['', 'plain text', '{', '{"a": 1}', '{"message": 3}', '[1]', 'null', '{"phase": "failed"}'])(
    'passes as it is when it is not one of its entries: %s',
    (line) => {
      expect(parseRepo2dockerLine(line)).toEqual({ text: `${line}\n`, phase: 'unknown', isFatal: false });
    },
  );

  it.each([
    [`['docker', 'buildx', 'build', '--build-arg', 'TOKEN=hush', '.']`, 'Building the image'],
    [`['buildah', 'bud', '--tag', 'r/a:hush']`, 'Building the image'],
    [`['docker', 'push', 'r/hush']`, 'Pushing the image'],
    [`['git', 'clone', 'https://hush@example.org/push']`, 'Fetching the repository'],
    [`['other', "it's hush"]`, 'A step'],
  ])('names the step instead of the arguments of a command that failed: %s', (command, step) => {
    const exc_info = `Traceback: hush ${command}`;
    const line = json({ message: `Command '${command}' returned non-zero exit status 1.`, phase: 'failed', exc_info });
    expect(line).toEqual({ text: `${step} failed with exit status 1.`, phase: 'failed', isFatal: true });
    expect(isBareFailure(line.text)).toBe(true);
  });

  it('names the signal that ended a step, and keeps what stands around it', () => {
    const message = "Error during build: Command '['git', 'x']' died with <Signals.SIGKILL: 9>.\n";
    const { text } = json({ message, phase: 'failed' });
    expect(text).toBe('Error during build: Fetching the repository was ended by SIGKILL.\n');
    expect(isBareFailure(text)).toBe(true);
    expect(isBareFailure('Failed to clone repository!\n')).toBe(false);
  });

  it('shows of an entry that is cut off the message only: what follows may be a traceback', () => {
    const whole = JSON.stringify({ message: 'it "failed" \\ \u0001 \n', phase: 'failed', exc_info: 'hush' });
    for (let length = '{"message":"'.length; length < whole.length; length += 1) {
      const { text } = parseRepo2dockerLine(`${whole.slice(0, length)} [… 9 more bytes]`);
      expect(text).not.toContain('hush');
      expect('it "failed" \\ \u0001 \n'.startsWith(text.replace(' [… 9 more bytes]', ''))).toBe(true);
    }
  });

  it('is read in no time however it is made', () => {
    const hostile = [
      `{"message": "${"Command '".repeat(50_000)}", "phase": "failed"}`,
      `{"message": "${'\\\\'.repeat(200_000)}`,
      `{"message": "${'\\"'.repeat(200_000)}`,
    ];
    for (const line of hostile) expect(parseRepo2dockerLine(line).text.length).toBeGreaterThan(0);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        expect(typeof parseRepo2dockerLine(line).text).toBe('string');
      }),
    );
  });
});
