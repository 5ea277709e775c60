import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expandReferences } from '../../../sandbox/processes/container-environment.ts';
import { processEnvironment, withHost } from '../../../sandbox/processes/process-environment.ts';

const GIVEN = { ours: {}, container: {}, fixed: {}, firstPath: '/checkout/.venv/bin', podIP: '127.65.0.1' };

describe('the environment of a local lab', () => {
  it('takes from ours what describes the machine and no more', () => {
    const ours = {
      PATH: '/bin',
      LANG: 'C',
      LC_ALL: 'C',
      TZ: 'UTC',
      AWS_SECRET_ACCESS_KEY: 's',
      TOKEN: 't',
      LC: 'x',
      PYTHONPATH: '/x',
    };
    expect(processEnvironment({ ...GIVEN, ours })).toEqual({
      PATH: '/checkout/.venv/bin:/bin',
      LANG: 'C',
      LC_ALL: 'C',
      TZ: 'UTC',
    });
  });

  it('lets the container say otherwise, but looks for commands in the given folder first', () => {
    const env = processEnvironment({
      ...GIVEN,
      ours: { PATH: '/bin', TZ: 'UTC' },
      container: { PATH: '/opt/bin', TZ: 'CET' },
    });
    expect(env).toEqual({ PATH: '/checkout/.venv/bin:/opt/bin', TZ: 'CET' });
  });

  it('has a PATH where we have none', () => {
    expect(processEnvironment(GIVEN)['PATH']).toBe('/checkout/.venv/bin:/usr/local/bin:/usr/bin:/bin');
  });

  it('has what is fixed, whatever the container says', () => {
    expect(processEnvironment({ ...GIVEN, container: { HOME: '/home/ada' }, fixed: { HOME: '/here' } })['HOME']).toBe(
      '/here',
    );
  });

  it.each([
    ['http://:8888/user/ada/', 'http://127.65.0.1:8888/user/ada/'],
    ['http://0.0.0.0:8888/user/ada/', 'http://127.65.0.1:8888/user/ada/'],
    ['http://[::]:8888/', 'http://127.65.0.1:8888/'],
    ['https://127.0.0.1', 'https://127.65.0.1'],
    ['http://lab.example.org/a?http://b:1/', 'http://127.65.0.1/a?http://b:1/'],
    ['unix:///run/lab.sock', 'unix:///run/lab.sock'],
  ])('makes of the address to listen at %s that of the pod', (given, made) => {
    expect(withHost(given, '127.65.0.1')).toBe(made);
  });

  it('changes nothing of that address but the host', () => {
    const url = fc.webUrl({ withQueryParameters: true, withFragments: true });
    fc.assert(
      fc.property(url, (text) => {
        const [before, after] = [new URL(text), new URL(withHost(text, '127.65.0.1'))];
        expect(after.hostname).toBe('127.65.0.1');
        after.hostname = before.hostname;
        expect(after.href).toBe(before.href);
      }),
    );
  });
});

describe('a reference to a variable', () => {
  it.each([
    ['$(A)', 'a'],
    ['-$(A)$(B)-', '-ab-'],
    ['$(C)', '$(C)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$a'],
    ['$A ${A} $', '$A ${A} $'],
    ['$(toString)', '$(toString)'],
    ['$(D)', '$(A)'],
  ])('is read as Kubernetes does: %s', (text, value) => {
    expect(expandReferences(text, { A: 'a', B: 'b', D: '$(A)' })).toBe(value);
  });
});
