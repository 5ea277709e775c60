import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createIdentification } from '../../src/auth/identification.ts';
import { identifyCaller } from '../../src/auth/identify.ts';
import type { AuthRequest, Identity } from '../../src/auth/identity.ts';
import { noFacts } from '../../src/auth/user-facts.ts';
import type { Config } from '../../src/config/index.ts';
import { aConfig } from '../routes/support.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ada = { username: 'ada', name: null, uid: 1000, gid: 1000, groups: [] };
const tokens = [
  { sha256: sha256('of-ada'), role: 'user' as const, user: ada },
  { sha256: sha256('of-the-hub'), role: 'hub' as const },
];
const proxyHeaders = { trustedAddresses: ['10.0.0.0/8', 'fd00::/8', '192.0.2.7'], hubUsers: [], adminUsers: [] };

function requestWith(headers: Record<string, string | string[]>, remoteAddress?: string): AuthRequest {
  return { method: 'GET', headers: (name) => [headers[name] ?? []].flat(), remoteAddress };
}

function configWith(auth: Partial<Config['auth']>): Config {
  return { ...aConfig(), auth: { tokens: [], jwt: [], ...auth } };
}

/** The identity that the configured providers see in a request; undefined when none of them knows its credential. */
async function identify(request: AuthRequest, auth: Partial<Config['auth']> = { tokens, proxyHeaders }) {
  const warnings: unknown[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line)) });
  let identity: Identity | undefined;
  let error: unknown;
  try {
    identity = await identifyCaller(createIdentification(configWith(auth), { logger }).providers, request);
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
      expect(identity).toEqual({
        ...{ role: 'user', provider: 'token', subject: 'ada', username: 'ada', token: 'of-ada' },
        facts: { source: 'static', user: { ...noFacts('ada'), ...ada } },
      });
    },
  );

  it('of the hub stands for nobody and is never handed to a lab', async () => {
    const { identity } = await identify(requestWith({ authorization: 'Bearer of-the-hub' }));
    expect(identity).toEqual({
      ...{ role: 'hub', provider: 'token', username: null, facts: null, token: null },
      subject: `hub token ${sha256('of-the-hub').slice(0, 8)}`,
    });
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
    expect(identity).toEqual({
      ...{ role: 'user', provider: 'proxy', subject: 'bob', username: 'bob' },
      ...{ facts: null, token: 'gt-abc' },
    });
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
    const { error } = await identify(requestWith(headers, '10.0.0.1'), { tokens });
    expect(error).toMatchObject({ code: 'invalid_token', message: 'Authentication is required' });
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
