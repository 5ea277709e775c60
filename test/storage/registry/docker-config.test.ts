import { describe, expect, it } from 'vitest';
import { parseDockerConfig } from '../../../src/storage/registry/docker-config.ts';
import { canary } from '../../support/canary.ts';

const PASSWORD = canary('pass:word');

function auth(username: string, password = PASSWORD): { auth: string } {
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') };
}

function find(auths: object, registry: string, repository = 'labs/a') {
  return parseDockerConfig(JSON.stringify({ auths })).find(registry, repository);
}

describe('a docker config.json', () => {
  it.each([
    ['registry.example.org', 'registry.example.org'],
    ['registry.example.org:5000', 'registry.example.org:5000'],
    ['https://registry.example.org', 'registry.example.org'],
    ['https://registry.example.org/v2/', 'registry.example.org'],
    ['http://registry.example.org:5000/v1/', 'registry.example.org:5000'],
    ['registry.example.org/v2/', 'registry.example.org'],
    ['https://index.docker.io/v1/', 'docker.io'],
    ['docker.io', 'docker.io'],
    ['registry-1.docker.io', 'docker.io'],
  ])('has under %s the credentials for %s', (key, registry) => {
    expect(find({ [key]: auth('ada') }, registry)).toEqual({ kind: 'password', username: 'ada', password: PASSWORD });
  });

  it.each(['example.org', 'registry.example.org:5000', 'registry.example.org.evil', 'docker.io'])(
    'has nothing of registry.example.org for %s',
    (registry) => {
      expect(find({ 'registry.example.org': auth('ada') }, registry)).toBeUndefined();
    },
  );

  it('prefers what is for the part that the repository lies in', () => {
    const auths = { 'r.example': auth('host'), 'r.example/labs': auth('labs'), 'r.example/labs/ab': auth('ab') };
    expect(find(auths, 'r.example', 'labs/a')).toMatchObject({ username: 'labs' });
    expect(find(auths, 'r.example', 'labs/ab/c')).toMatchObject({ username: 'ab' });
    expect(find(auths, 'r.example', 'other')).toMatchObject({ username: 'host' });
  });

  it.each([
    [
      { username: 'ada', password: PASSWORD },
      { kind: 'password', username: 'ada', password: PASSWORD },
    ],
    [{ username: 'ada' }, { kind: 'password', username: 'ada', password: '' }],
    [
      { ...auth('ada'), identitytoken: 'refresh' },
      { kind: 'identity', token: 'refresh' },
    ],
    [{ registrytoken: 'token' }, { kind: 'token', token: 'token' }],
    [{ auth: Buffer.from('ada:pw\0\0').toString('base64') }, { kind: 'password', username: 'ada', password: 'pw' }],
    [{}, undefined],
    [{ auth: '' }, undefined],
  ])('has %o', (entry, expected) => {
    expect(find({ 'r.example': entry }, 'r.example')).toEqual(expected);
  });

  it('may be empty', () => {
    expect(parseDockerConfig('{}').find('r.example', 'a')).toBeUndefined();
  });

  it.each([
    [`{"auths": ${PASSWORD}`, 'it is not JSON'],
    ['[]', 'has not the shape'],
    [JSON.stringify({ auths: { 'r.example': PASSWORD } }), 'has not the shape'],
    [JSON.stringify({ auths: { 'r.example': { auth: PASSWORD } } }), 'no name and password in base64'],
    [JSON.stringify({ credHelpers: { 'r.example': 'ecr-login' } }), 'credential helpers'],
    [JSON.stringify({ auths: {}, credsStore: 'desktop' }), 'credential helpers'],
  ])('is refused without a word of what is in it: %#', (text, words) => {
    let message = '';
    try {
      parseDockerConfig(text);
    } catch (error) {
      expect(error).toMatchObject({ name: 'RegistryProblem', reason: 'RegistryDenied', transient: false });
      message = String((error as Error).stack);
      expect((error as Error).cause).toBeUndefined();
    }
    expect(message).toContain(words);
    expect(message).not.toContain(PASSWORD);
  });
});
