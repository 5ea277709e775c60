import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { AuthRequest, Identity } from '../../src/auth/identity.ts';
import { identityProviders } from '../../src/auth/providers.ts';
import { findUser, requireLabUser } from '../../src/auth/user-facts.ts';
import { LabwrightError } from '../../src/domain/errors.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ada = { username: 'ada', name: null, uid: 1000, gid: 1000, groups: [] };
const tokens = [
  { sha256: sha256('of-ada'), role: 'user' as const, user: ada },
  { sha256: sha256('of-the-hub'), role: 'hub' as const },
];
const proxyHeaders = { trustedAddresses: ['10.0.0.0/8', 'fd00::/8', '192.0.2.7'] };

function requestWith(headers: Record<string, string | string[]>, remoteAddress?: string): AuthRequest {
  return { headers: (name) => [headers[name] ?? []].flat(), remoteAddress };
}

/** The identity that the configured providers see in a request; undefined when none of them knows its credential. */
async function identify(
  request: AuthRequest,
  auth: Parameters<typeof identityProviders>[0]['auth'] = { tokens, proxyHeaders },
) {
  const warnings: unknown[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line)) });
  const provider = identityProviders({ auth }, logger).find((candidate) => candidate.matches(request));
  let identity: Identity | undefined;
  let error: unknown;
  try {
    identity = await provider?.identify(request);
  } catch (caught) {
    error = caught;
  }
  return { identity, error, warnings };
}

describe('a static token', () => {
  it.each(['Bearer of-ada', 'bearer of-ada', 'token of-ada', 'Token  of-ada '])(
    'is read from %j',
    async (authorization) => {
      const { identity } = await identify(requestWith({ authorization }));
      expect(identity).toEqual({ role: 'user', provider: 'token', username: 'ada', user: ada, token: 'of-ada' });
    },
  );

  it('of the hub stands for nobody and is never handed to a lab', async () => {
    const { identity } = await identify(requestWith({ authorization: 'Bearer of-the-hub' }));
    expect(identity).toEqual({ role: 'hub', provider: 'token', username: null, user: null, token: null });
  });

  it.each([
    'Bearer of-bob',
    'Bearer',
    'Bearer ',
    'Basic b2YtYWRh',
    'of-ada',
    'Bearer of-ada of-ada',
    `Bearer ${sha256('of-ada')}`,
    `Bearer ${'x'.repeat(5000)}`,
    '',
  ])('is refused in %j, without repeating it', async (authorization) => {
    const { identity, error } = await identify(requestWith({ authorization }));
    expect(identity).toBeUndefined();
    expect(error).toMatchObject({ code: 'invalid_token', status: 401 });
    expect(String(error)).not.toContain('of-');
  });

  it('that is sent twice is refused', async () => {
    const { error } = await identify(requestWith({ authorization: ['Bearer of-ada', 'Bearer of-the-hub'] }));
    expect(error).toMatchObject({ code: 'invalid_token' });
  });
});

describe('the headers of a proxy', () => {
  const headers = { 'x-auth-request-user': 'bob', 'x-auth-request-token': 'gt-abc' };

  it.each(['10.2.3.4', '::ffff:10.2.3.4', 'fd12::1', '192.0.2.7'])('are believed from %s', async (address) => {
    const { identity } = await identify(requestWith(headers, address));
    expect(identity).toEqual({ role: 'user', provider: 'proxy', username: 'bob', user: null, token: 'gt-abc' });
  });

  it.each(['11.0.0.1', '::1', '192.0.2.8', 'no address', undefined])(
    'are refused from %s, and that is logged',
    async (address) => {
      const { error, warnings } = await identify(requestWith(headers, address));
      expect(error).toMatchObject({ code: 'invalid_token', status: 401 });
      expect(warnings).toHaveLength(1);
      expect(JSON.stringify(warnings)).not.toContain('gt-abc');
    },
  );

  it('win over an Authorization header, which is the login at the proxy', async () => {
    const request = requestWith({ ...headers, authorization: 'Bearer of-ada' }, '10.0.0.1');
    expect((await identify(request)).identity?.username).toBe('bob');
  });

  it('from elsewhere do not change what a token says', async () => {
    const request = requestWith({ ...headers, authorization: 'Bearer of-ada' }, '11.0.0.1');
    expect((await identify(request)).identity?.username).toBe('ada');
  });

  it('mean nothing where they are not configured', async () => {
    expect(await identify(requestWith(headers, '10.0.0.1'), { tokens })).toMatchObject({
      identity: undefined,
      error: undefined,
    });
  });

  it('may leave out the token', async () => {
    const { identity } = await identify(requestWith({ 'x-auth-request-user': 'bob' }, '10.0.0.1'));
    expect(identity?.token).toBeNull();
  });

  it('carry a name in UTF-8', async () => {
    const onTheWire = Buffer.from('Zoë').toString('latin1');
    const { identity } = await identify(requestWith({ 'x-auth-request-user': onTheWire }, '10.0.0.1'));
    expect(identity?.username).toBe('Zoë');
  });

  it.each([
    { 'x-auth-request-user': '' },
    { 'x-auth-request-user': 'a/b' },
    { 'x-auth-request-user': '..' },
    { 'x-auth-request-user': '\xff' },
    { 'x-auth-request-user': 'x'.repeat(256) },
    { 'x-auth-request-user': ['bob', 'root'] },
    { ...headers, 'x-auth-request-token': ['a', 'b'] },
    { ...headers, 'x-auth-request-token': 'a b' },
  ])('are refused when they are %j', async (bad) => {
    expect((await identify(requestWith(bad, '10.0.0.1'))).error).toMatchObject({ code: 'invalid_token' });
  });
});

describe('the facts of a user', () => {
  const directory = {
    defaults: { uid: 5000, gid: 100, groups: [{ name: 'users', id: 100 }] },
    byName: { bob: { name: 'Bob', uid: 7, gid: 8, groups: [] } },
  };

  it('are those of the entry, and the defaults for others', () => {
    expect(findUser(directory, 'bob')).toEqual({ username: 'bob', name: 'Bob', uid: 7, gid: 8, groups: [] });
    expect(findUser(directory, 'eve')).toEqual({
      username: 'eve',
      name: null,
      uid: 5000,
      gid: 100,
      groups: [{ name: 'users', id: 100 }],
    });
  });

  it.each(['constructor', '__proto__', 'toString'])('are not found in the language for %s', (username) => {
    expect(findUser({ byName: {} }, username)).toEqual({ username, name: null, uid: null, gid: null, groups: [] });
  });

  it('are enough for a lab only with both ids', () => {
    const facts = findUser(directory, 'bob');
    expect(requireLabUser(facts)).toEqual({ username: 'bob', name: 'Bob', uid: 7, gid: 8, groups: [] });
    const missing = (change: object) => {
      try {
        requireLabUser({ ...facts, ...change });
      } catch (error) {
        return error instanceof LabwrightError ? `${error.code}: ${error.message}` : error;
      }
      return undefined;
    };
    expect(missing({ uid: null })).toBe('permission_denied: Must have a UID to spawn labs');
    expect(missing({ uid: 0 })).toBe('permission_denied: Must have a UID to spawn labs');
    expect(missing({ gid: null })).toBe('permission_denied: Must have a GID to spawn labs');
  });
});
