import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { makeKey, startIssuer, type TestIssuer } from './support/issuer.ts';
import { issuerConfig, startProvider, type TestProvider } from './support/provider.ts';

let issuer: TestIssuer;
let other: TestIssuer;
let provider: TestProvider;

beforeAll(async () => {
  issuer = await startIssuer([
    await makeKey('first'),
    await makeKey('second', 'RS256'),
    await makeKey('third', 'EdDSA'),
  ]);
  other = await startIssuer([await makeKey('first')], '/realms/other/');
  provider = startProvider({
    issuers: [
      issuerConfig(issuer.issuer),
      issuerConfig(other.issuer, {
        audience: ['labs', 'spawner'],
        claims: { username: 'ext.login' },
        roles: [
          { role: 'admin', claim: 'realm_access.roles', value: 'lab-admin' },
          { role: 'hub', claim: 'scope', value: 'labs:hub' },
          { role: 'user', claim: 'https://example.org/plan', value: 'paid' },
          { role: 'user', claim: 'staff', value: 'true' },
        ],
      }),
    ],
  });
});
afterAll(async () => {
  await provider.close();
  await issuer.close();
  await other.close();
});

const ADA = { preferred_username: 'ada' };
const labs = (claims: Record<string, unknown>) => other.sign({ aud: 'labs', ext: { login: 'ada' }, ...claims });

describe('a JWT of a configured issuer', () => {
  it('says who its user is and what is known of it, and goes on to the lab', async () => {
    const token = await issuer.sign({
      ...ADA,
      ...{ name: 'Ada Lovelace', email: 'ada@example.org', uid: 4001, gid: '4000', home: '/home/a/ada' },
      groups: ['staff', { name: 'club', id: 7 }],
      quota: { cpu: 4, memory: '16Gi' },
    });
    expect(await provider.show(token)).toEqual({
      ...{ role: 'user', provider: 'jwt', subject: 'ada', username: 'ada', token },
      facts: {
        source: 'claims',
        user: {
          ...{ username: 'ada', name: 'Ada Lovelace', email: 'ada@example.org', uid: 4001, gid: 4000 },
          groups: [
            { name: 'staff', id: null },
            { name: 'club', id: 7 },
          ],
          home: '/home/a/ada',
          quota: { cpu: 4, memory: 2 ** 34, spawn: true },
          admin: null,
        },
      },
    });
  });

  it('may be signed with any kind of key that is accepted', async () => {
    for (const key of issuer.keys) {
      expect(await provider.show(await issuer.sign(ADA, { key }))).toMatchObject({ username: 'ada' });
    }
  });

  it.each([undefined, 'JWT', 'jwt', 'at+jwt', 'application/AT+JWT'])('may be of the type %s', async (typ) => {
    expect(await provider.show(await issuer.sign(ADA, { header: { typ } }))).toMatchObject({ username: 'ada' });
  });

  it.each([
    ['one audience among several', { aud: ['x', 'labwright'] }],
    ['an iat as far ahead as clocks may differ', { iat: Math.floor(Date.now() / 1000) + 20 }],
    ['an nbf as far ahead as clocks may differ', { nbf: Math.floor(Date.now() / 1000) + 20 }],
    ['an exp as far back as clocks may differ', { exp: Math.floor(Date.now() / 1000) - 10 }],
    ['no iat', { iat: undefined }],
  ])('may have %s', async (_what, claims) => {
    expect(await provider.show(await issuer.sign({ ...ADA, ...claims }))).toMatchObject({ username: 'ada' });
  });

  it('may leave out the name of its key', async () => {
    for (const key of issuer.keys) {
      const token = await issuer.sign(ADA, { key, header: { kid: undefined } });
      expect(await provider.show(token)).toMatchObject({ username: 'ada' });
    }
  });

  it('is told from a token of another issuer by the letter', async () => {
    expect(await provider.show(await labs({ staff: true }))).toMatchObject({ role: 'user', username: 'ada' });
  });
});

describe('the role of a JWT', () => {
  it.each([
    ['admin', { realm_access: { roles: ['x', 'lab-admin'] }, scope: 'labs:hub' }],
    ['hub', { scope: 'openid labs:hub' }],
    ['user', { 'https://example.org/plan': 'paid' }],
    ['user', { staff: true }],
  ])('is %s by the first rule that fits %j', async (role, claims) => {
    expect(await provider.show(await labs(claims))).toMatchObject({ role, username: 'ada' });
  });

  it.each([
    {},
    { realm_access: ['lab-admin'] },
    { realm_access: { roles: 'lab-admin x' } },
    { scope: 'labs:hubs' },
    { scope: 'LABS:HUB' },
    { staff: 'TRUE' },
    { staff: [true] },
    { staff: { toString: 'true' } },
  ])('is none with %j, although the token is good', async (claims) => {
    expect(await provider.show(await labs(claims))).toMatchObject({ status: 403, code: 'permission_denied' });
  });

  it('of a hub or an administrator needs no user, and the token is not handed on', async () => {
    const token = await labs({ scope: 'labs:hub', ext: undefined, sub: 'auth0|hub' });
    expect(await provider.show(token)).toEqual({
      ...{ role: 'hub', provider: 'jwt', subject: 'auth0|hub' },
      ...{ username: null, facts: null, token: null },
    });
  });

  it.each([
    ['client_id', { sub: undefined, client_id: 'robot' }, 'robot'],
    ['client_id, where the sub is more than a line', { sub: 'a\nb', client_id: 'robot' }, 'robot'],
  ])('is logged under the %s where no sub is', async (_what, claims, subject) => {
    expect(await provider.show(await labs({ scope: 'labs:hub', ext: undefined, ...claims }))).toMatchObject({
      subject,
    });
  });
});

describe('an address of e-mail as the name', () => {
  it.each([
    ['is one where nothing is said of it', {}, 200],
    ['is one where the issuer has verified it', { email_verified: true }, 200],
    ['is none where the issuer has not', { email_verified: false }, 403],
    ['is none where the issuer says it in other words', { email_verified: 'true' }, 403],
  ])('%s', async (_what, claims, status) => {
    const byMail = startProvider({ issuers: [issuerConfig(issuer.issuer, { claims: { username: 'email' } })] });
    const outcome = await byMail.show(await issuer.sign({ email: 'ada@example.org', ...claims }));
    await byMail.close();
    expect(outcome).toMatchObject(status === 200 ? { username: 'ada@example.org' } : { status });
  });
});

describe('the provider', () => {
  it('knows its kind of token from others', () => {
    const request = (authorization: string) => ({
      method: 'GET',
      headers: (name: string) => (name === 'authorization' ? [authorization] : []),
      remoteAddress: undefined,
    });
    const matches = (token: string) => provider.provider.matches(request(`Bearer ${token}`));
    expect(matches('0123456789abcdef0123456789abcdef')).toBe(false);
    expect(matches('gt-abc.def')).toBe(false);
    expect(matches('a.b.c')).toBe(false);
    expect(matches('eyJhbGciOiJub25lIn0.e30.')).toBe(true);
    expect(matches('eyJhbGciOiJkaXIifQ..a.b.c')).toBe(true);
    expect(provider.provider.matches({ ...request(''), headers: () => [] })).toBe(false);
  });

  it('says in the log why it refuses, and nothing of the token', async () => {
    const token = await issuer.sign({ ...ADA, aud: 'canary-audience', email: 'canary@example.org' });
    const before = provider.logs.length;
    expect(await provider.show(token)).toMatchObject({ status: 401, message: 'The token is not valid' });
    const lines = JSON.stringify(provider.logs.slice(before));
    expect(lines).toContain('it is for another audience');
    expect(lines).not.toMatch(new RegExp(`canary|${token.split('.')[2]}`));
  });
});
