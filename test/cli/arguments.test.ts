import { describe, expect, it } from 'vitest';
import { parseArguments, requireLoopback, UsageError, USAGE } from '../../src/cli/index.ts';

describe('the command line', () => {
  it('serves in the sandbox when it says nothing', () => {
    expect(parseArguments([])).toEqual({
      command: 'serve',
      config: undefined,
      sandbox: false,
      sandboxFaults: undefined,
      withLocalLabs: false,
      host: undefined,
      port: undefined,
    });
  });

  it('need not name the command to serve', () => {
    const command = parseArguments(['--sandbox-faults', 'faults.yaml', '--port=0']);
    expect(command).toEqual(parseArguments(['serve', '--sandbox-faults=faults.yaml', '--port', '0']));
    expect(command).toMatchObject({ command: 'serve', sandboxFaults: 'faults.yaml', port: 0 });
  });

  it('can ask for local labs in the sandbox, with a configuration or without', () => {
    expect(parseArguments(['--with-local-labs'])).toMatchObject({ withLocalLabs: true, config: undefined });
    const both = ['--with-local-labs', '--sandbox', '--config', 'config.yaml'];
    expect(parseArguments(both)).toMatchObject({ withLocalLabs: true, sandbox: true, config: 'config.yaml' });
    expect(USAGE.replaceAll(/\s+/g, ' ')).toContain('Nothing isolates it: whoever may create a lab runs commands');
  });

  it.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('lets local labs be asked for at %s', (host) => {
    expect(() => requireLoopback(host)).not.toThrow();
  });

  it.each([
    '0.0.0.0',
    '::',
    '',
    '10.0.0.1',
    '127.0.0.1.example.org',
    '128.0.0.1',
    'localhost.example.org',
    '::ffff:127.0.0.1',
  ])('refuses local labs at %s, with a sentence', (host) => {
    expect(() => requireLoopback(host)).toThrow(UsageError);
    expect(() => requireLoopback(host)).toThrow(/expected to listen on 127\.0\.0\.1, ::1 or localhost/);
  });

  it('names the file to check', () => {
    expect(parseArguments(['check-config', 'config.yaml'])).toEqual({
      ...{ command: 'check-config', file: 'config.yaml', cluster: false },
    });
    expect(parseArguments(['check-config', '--cluster', 'config.yaml'])).toMatchObject({ cluster: true });
  });

  it('describes the lab to render', () => {
    const options = ['--user', 'ada', '--server', 'gpu', '--uid', '7', '--group', 'a:b:8', '--group', 'c:9', '--debug'];
    expect(parseArguments(['render', ...options])).toMatchObject({
      command: 'render',
      user: 'ada',
      server: 'gpu',
      uid: 7,
      gid: undefined,
      groups: [
        { name: 'a:b', id: 8 },
        { name: 'c', id: 9 },
      ],
      debug: true,
      resetUserEnv: false,
    });
  });

  it.each([['help'], ['--help'], ['-h'], ['serve', '--help'], ['render', '-h']])('can ask for help: %s', (...args) => {
    expect(parseArguments(args)).toEqual({ command: 'help' });
  });

  it('can ask for the version', () => {
    expect(parseArguments(['version'])).toEqual(parseArguments(['--version']));
  });

  it.each([
    [['sevre'], /unknown command "sevre"/],
    [['serve', '--confg', 'x'], /Unknown option '--confg'/],
    [['--confg'], /Unknown option '--confg'/],
    [['serve', 'config.yaml'], /config\.yaml/],
    [['serve', '--config'], /--config/],
    [['--with-local-labs', '--config', 'x'], /--with-local-labs: expected --sandbox too, or no --config/],
    [['serve', '--port', 'high'], /--port: expected a whole number/],
    [['serve', '--port', '65536'], /--port: expected a whole number/],
    [['check-config'], /expected one file/],
    [['check-config', 'a', 'b'], /expected one file/],
    [['render'], /expected --user NAME/],
    [['render', '--user', 'ada', '--group', '7'], /--group: expected NAME:ID/],
    [['render', '--user', 'ada', '--uid', '-1'], /uid/],
    [['render', '--user', 'ada', '--uid', '99999999999'], /--uid: expected a whole number/],
  ])('is refused with a sentence: %j', (args, sentence) => {
    expect(() => parseArguments(args)).toThrow(UsageError);
    expect(() => parseArguments(args)).toThrow(sentence);
  });
});
