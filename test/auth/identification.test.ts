import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { createIdentification, type Identification } from '../../src/auth/identification.ts';
import { identifyCaller } from '../../src/auth/identify.ts';
import type { AuthRequest } from '../../src/auth/identity.ts';
import { LabwrightError } from '../../src/domain/errors.ts';
import { aConfig } from '../routes/support.ts';
import { FakeHub } from './jupyterhub/fake-hub.ts';
import { someKeys } from './session/support.ts';

const ISSUER = 'https://id.example.org';
const PROXY = '192.0.2.7';
const ELSEWHERE = '198.51.100.1';

const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const jwtOf = (issuer: string) =>
  `${part({ alg: 'RS256', kid: 'k' })}.${part({ iss: issuer, aud: 'labwright', exp: 4e9, sub: 'ada' })}.${part('signature')}`;
const STATIC_JWT = jwtOf('https://static.example.org');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

type Party = 'hub' | 'issuer' | 'gafaelfawr';

/** Parties that know nobody, and what each was shown. */
const parties = {} as Record<Party, FakeHub>;
let shown: { party: Party; authorization: string | undefined }[] = [];
let identification: Identification;

beforeAll(async () => {
  for (const party of ['hub', 'issuer', 'gafaelfawr'] as const) {
    parties[party] = await FakeHub.start();
    parties[party].instead = ({ headers: { authorization } }, response) => {
      shown.push({ party, authorization });
      response.writeHead(party === 'issuer' ? 200 : 403, { 'content-type': 'application/json' }).end('{"keys":[]}');
    };
  }
  const { hub, issuer, gafaelfawr } = parties;
  const tokens = [
    { sha256: sha256('of-ada'), role: 'user', user: { username: 'ada', uid: 1, gid: 1 } },
    { sha256: sha256(STATIC_JWT), role: 'admin' },
  ];
  const config = aConfig({
    auth: {
      tokens,
      jwt: [{ issuer: ISSUER, audience: 'labwright', jwksUri: `${issuer.apiUrl}/keys` }],
      jupyterhub: { apiUrl: hub.apiUrl, tokenFile: '/none', login: {} },
      proxyHeaders: {
        trustedAddresses: [`${PROXY}/32`],
        userInfoUrl: `${gafaelfawr.apiUrl}/user-info`,
        hubUsers: ['bot'],
      },
    },
  });
  identification = createIdentification(config, { logger: pino({ level: 'silent' }), sessionKeys: someKeys() });
});

beforeEach(() => {
  shown = [];
});

afterAll(async () => {
  await identification.close();
  for (const party of Object.values(parties)) await party.close();
});

/** What came of a request: the provider that knew the caller, or the status of the refusal. */
async function outcome(
  headers: Readonly<Record<string, string | readonly string[]>>,
  remoteAddress: string | undefined,
) {
  const request: AuthRequest = { method: 'GET', headers: (name) => [headers[name] ?? []].flat(), remoteAddress };
  try {
    return (await identifyCaller(identification.providers, request)).provider;
  } catch (error) {
    if (error instanceof LabwrightError) return error.status;
    throw error;
  }
}

const user = (name: string) => ({ 'x-auth-request-user': name });
const gf = (token: string) => ({ 'x-auth-request-token': token });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const cookie = { cookie: '__Secure-labwright-session-x=y; other=z' };

describe('a credential is shown to the party it is for, and to nobody else:', () => {
  const rows: readonly [string, string | number, Party | 'nobody', Record<string, string | string[]>, string][] = [
    ['none', 401, 'nobody', {}, ELSEWHERE],
    ['a static token', 'token', 'nobody', bearer('of-ada'), ELSEWHERE],
    ['a static token that looks like a JWT', 'token', 'nobody', bearer(STATIC_JWT), ELSEWHERE],
    ['a static token beside cookies', 'token', 'nobody', { ...bearer('of-ada'), ...cookie }, ELSEWHERE],
    ['an opaque token', 401, 'hub', bearer('opaque-1'), ELSEWHERE],
    ['an opaque token with dots', 401, 'hub', bearer('a.b.c'), ELSEWHERE],
    ['an opaque token from the proxy, which says no name', 401, 'hub', bearer('opaque-2'), PROXY],
    ['a JWT of an issuer that is known', 401, 'issuer', bearer(jwtOf(ISSUER)), ELSEWHERE],
    ['a JWT of another issuer', 401, 'nobody', bearer(jwtOf(`${ISSUER}/`)), ELSEWHERE],
    ['a JWT without its signature', 401, 'nobody', bearer(jwtOf(ISSUER).replace(/\.[^.]*$/, '')), ELSEWHERE],
    ['a JWT with padding', 401, 'nobody', bearer(jwtOf(ISSUER).replace('.', '=.')), ELSEWHERE],
    ['a JWT in quotes', 401, 'nobody', bearer(`"${jwtOf(ISSUER)}"`), ELSEWHERE],
    ['a JWT whose header is cut', 401, 'nobody', bearer(`${part('{"alg":"RS')}.${part({ iss: ISSUER })}.c`), ELSEWHERE],
    ['a JWT that begins with a byte order mark', 401, 'nobody', bearer(`${part('\ufeff{"alg":"x"}')}.b.c`), ELSEWHERE],
    ['an encrypted JWT', 401, 'nobody', bearer(`${part({ alg: 'dir' })}..b.c.d`), ELSEWHERE],
    ['an empty Authorization header', 401, 'nobody', { authorization: '' }, ELSEWHERE],
    ['an empty Authorization header beside cookies', 401, 'nobody', { authorization: '', ...cookie }, ELSEWHERE],
    ['a login of another kind', 401, 'nobody', { authorization: 'Basic YTpi' }, ELSEWHERE],
    ['two tokens in one header', 401, 'nobody', bearer('opaque-3, Bearer of-ada'), ELSEWHERE],
    ['two headers', 401, 'nobody', { authorization: ['Bearer opaque-4', 'Bearer of-ada'] }, ELSEWHERE],
    ['cookies of others', 401, 'nobody', cookie, ELSEWHERE],
    ['a name from the proxy', 'proxy', 'nobody', user('ada'), PROXY],
    ['a name from the proxy beside a login there', 'proxy', 'nobody', { ...user('ada'), ...bearer('opaque-5') }, PROXY],
    ['a name and a token from the proxy', 401, 'gafaelfawr', { ...user('ada'), ...gf('gt-1') }, PROXY],
    ['the name of a hub and its token', 'proxy', 'nobody', { ...user('bot'), ...gf('gt-2') }, PROXY],
    ['a name and a token from elsewhere', 401, 'nobody', { ...user('ada'), ...gf('gt-3') }, ELSEWHERE],
    [
      'a name from elsewhere beside a token',
      'token',
      'nobody',
      { ...user('bob'), ...gf('gt-4'), ...bearer('of-ada') },
      ELSEWHERE,
    ],
    ['a token of the proxy alone', 401, 'nobody', gf('gt-5'), PROXY],
    ['an empty name from the proxy beside a token', 401, 'nobody', { ...user(''), ...bearer('of-ada') }, PROXY],
  ];

  it.each(rows)('%s', async (_what, expected, party, headers, address) => {
    expect(await outcome(headers, address)).toBe(expected);
    expect(shown.map((question) => question.party)).toEqual(party === 'nobody' ? [] : [party]);
  });

  it('whatever stands beside it', async () => {
    const anything = fc.option(
      fc.oneof(
        fc.constantFrom('of-ada', STATIC_JWT, jwtOf('https://other.example.org'), '').map((token) => `Bearer ${token}`),
        fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
        fc.base64String().map((text) => `token ${text}`),
        fc
          .array(fc.constantFrom('eyJ', '{', '.', '=', 'e30', '"'), { maxLength: 8 })
          .map((all) => `Bearer ${all.join('')}`),
      ),
      { nil: undefined },
    );
    const requests = fc.record({
      authorization: anything,
      name: fc.option(fc.constantFrom('ada', 'bot', '', '../x', 'a\u00ffb'), { nil: undefined }),
      token: fc.option(fc.uuid(), { nil: undefined }),
      hasCookie: fc.boolean(),
      address: fc.constantFrom(PROXY, ELSEWHERE, undefined),
    });
    await fc.assert(
      fc.asyncProperty(requests, async ({ authorization, name, token, hasCookie, address }) => {
        shown = [];
        const headers = {
          ...(authorization === undefined ? {} : { authorization }),
          ...(name === undefined ? {} : user(name)),
          ...(token === undefined ? {} : gf(token)),
          ...(hasCookie ? cookie : {}),
        };
        expect([401, 403, 502, 503, 'token', 'proxy']).toContain(await outcome(headers, address));
        expect(shown.length).toBeLessThanOrEqual(1);
        for (const { party, authorization: seen } of shown) {
          const isFromProxy = name !== undefined && address === PROXY;
          expect(party).toBe(isFromProxy ? 'gafaelfawr' : 'hub');
          const sent = (authorization ?? '').trim().replace(/^\w+ +/, '');
          expect(seen).toBe(`Bearer ${isFromProxy ? (token ?? '') : sent}`);
        }
      }),
    );
  });
});
