import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { type RunningServer, startServer } from '../../src/routes/server/server.ts';
import { canary } from '../support/canary.ts';
import { converse } from './raw-http.ts';
import { aConfig, aLabState, API, fakeLabs, formRequest, testApp, TOKENS } from './support.ts';

/** Whose lab everybody is after. */
const VICTIM = 'zoë.b';
const NFC = encodeURIComponent(VICTIM.normalize('NFC'));
const NFD = encodeURIComponent(VICTIM.normalize('NFD'));
/** What only somebody who reads the victim's lab gets to see. */
const INSIDE = 'http://lab.of-the-victim:8888/';

const labs = () =>
  fakeLabs([
    aLabState({ internalUrl: INSIDE }, { username: VICTIM, servername: '' }),
    aLabState({ internalUrl: INSIDE }, { username: VICTIM, servername: 'gpu' }),
    aLabState({ internalUrl: INSIDE }, { username: 'bob', servername: '' }),
    aLabState(),
  ]);

/** The victim as ada may write it, and the answer: never a 2xx, and never a word about the lab. */
const NAMES: readonly (readonly [string, string, number])[] = [
  ['plain', 'bob', 403],
  ['a letter escaped', '%62ob', 403],
  ['a letter escaped twice', '%2562ob', 403],
  ['a letter escaped three times', '%252562ob', 403],
  ['in capitals', 'BOB', 403],
  ['with one capital', 'Bob', 403],
  ['in composed form', NFC, 403],
  ['in decomposed form', NFD, 403],
  ['in fullwidth letters', encodeURIComponent('ｂｏｂ'), 403],
  ['in letters of another script', encodeURIComponent('bоb'), 403],
  ['with a dot behind it', 'bob.', 403],
  ['with an escaped dot behind it', 'bob%2e', 403],
  ['with a space behind it', 'bob%20', 403],
  ['with a plus behind it', 'bob+', 403],
  ['with a space before it', '%20bob', 403],
  ['with a no-break space behind it', 'bob%c2%a0', 403],
  ['with a zero-width space behind it', 'bob%e2%80%8b', 403],
  ['with a byte order mark before it', '%ef%bb%bfbob', 403],
  ['with a parameter behind it', 'bob;x=1', 403],
  ['with a matrix parameter behind oneself', 'ada;user=bob', 403],
  ['behind oneself and a comma', 'ada,bob', 403],
  ['behind oneself and an escaped question mark', 'ada%3fbob', 403],
  ['behind oneself and an escaped fragment', 'ada%23bob', 403],
  ['behind oneself and an escaped backslash', 'ada%5c..%5cbob', 403],
  ['behind oneself and an escaped slash', 'ada%2fbob', 403],
  ['behind oneself and an escaped way up', 'ada%2f..%2fbob', 403],
  ['behind oneself and a way up escaped twice', 'ada%252f..%252fbob', 403],
  ['behind oneself and a way up', 'ada/../bob', 403],
  ['behind oneself and a way up with escaped dots', 'ada/%2e%2e/bob', 403],
  ['behind oneself and a way up with escaped dots in capitals', 'ada/%2E%2E/bob', 403],
  ['behind oneself and a way up with one dot escaped', 'ada/.%2e/bob', 403],
  ['behind oneself and a way up with dots escaped twice', 'ada/%252e%252e/bob', 404],
  ['behind a dot', './bob', 403],
  ['behind two slashes', '/bob', 404],
  ['behind oneself and a NUL', 'ada%00bob', 403],
  ['with a NUL behind it', 'bob%00', 403],
  ['behind oneself and a line feed', 'ada%0abob', 403],
  ['behind oneself and a carriage return and line feed', 'ada%0d%0abob', 403],
  ['with an overlong dot', 'bob%c0%ae', 400],
  ['behind an overlong slash', 'ada%c0%afbob', 400],
  ['behind an overlong way up', 'ada%c0%af%c0%ae%c0%ae%c0%afbob', 400],
  ['behind an overlong slash of three bytes', 'ada%e0%80%afbob', 400],
  ['with half a character', 'bob%c3', 400],
  ['with a surrogate', 'bob%ed%a0%80', 400],
  ['with an escape that is none', 'bob%zz', 400],
  ['with an escape as of old scripts', 'bob%u002e', 400],
  ['with nothing but a percent sign', '%', 400],
];

/** Oneself, written as it must not be taken for oneself. */
const OTHER_SELVES = ['ADA', 'Ada', '%41da', 'ada%20', 'ada.', 'ada%00', 'ada;', encodeURIComponent('ａda'), '%2561da'];

describe('a user who names another', () => {
  describe.each(NAMES)('%s (%s)', (_what, written, status) => {
    it.each([
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/events'],
      ['POST', '/create'],
      ['GET', '/servers/gpu'],
      ['DELETE', '/servers/gpu'],
    ])('is refused at %s %s', async (method, rest) => {
      const fake = labs();
      const { call } = testApp({ labs: fake });
      const json = method === 'POST' ? { json: formRequest() } : {};
      const response = await call(`${API}/labs/${written}${rest}`, { as: 'ada', method, ...json });
      const text = await response.text();
      expect(response.status).toBe(status);
      expect(text).not.toContain(INSIDE);
      expect({ created: fake.created, deleted: fake.deleted }).toEqual({ created: [], deleted: [] });
    });

    it('is refused the form', async () => {
      const response = await testApp().call(`${API}/lab-form/${written}`, { as: 'ada' });
      expect(response.status).toBe(status);
    });
  });

  it.each(OTHER_SELVES)('is not oneself when written %s', async (written) => {
    expect((await testApp({ labs: labs() }).call(`${API}/labs/${written}`, { as: 'ada' })).status).toBe(403);
  });

  it('in another normal form than its own is another', async () => {
    const config = aConfig({ auth: { proxyHeaders: { trustedAddresses: ['10.0.0.1/32'] } } });
    const { call } = testApp({ labs: labs(), config });
    const as = (name: string) => ({ 'x-auth-request-user': Buffer.from(name).toString('latin1') });
    const ask = async (path: string, name: string) =>
      (await call(`${API}/labs/${path}`, { headers: as(name), from: '10.0.0.1' })).status;
    expect(await ask(NFC, VICTIM.normalize('NFC'))).toBe(200);
    expect(await ask(NFC, VICTIM.normalize('NFD'))).toBe(403);
    expect(await ask(NFD, VICTIM.normalize('NFC'))).toBe(403);
    expect(await ask(NFD, VICTIM.normalize('NFD'))).toBe(404);
  });

  it('in the body changes nothing about whose lab it is', async () => {
    const fake = labs();
    const json = { ...formRequest({ username: ['bob'], user: 'bob' }), username: 'bob', user: { username: 'bob' } };
    await testApp({ labs: fake }).call(`${API}/labs/ada/servers/x/create?username=bob`, { as: 'ada', json });
    expect(fake.created.map(({ key, user }) => [key.username, user.username])).toEqual([['ada', 'ada']]);
  });

  it.each(['X-HTTP-Method-Override', 'X-Method-Override', 'X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-User'])(
    'in %s is not heard',
    async (header) => {
      const fake = labs();
      const value = header.includes('Method') ? 'DELETE' : `${API}/labs/bob`;
      const response = await testApp({ labs: fake }).call(`${API}/labs/ada`, {
        as: 'ada',
        headers: { [header]: value },
      });
      expect(await response.json()).toMatchObject({ user: { username: 'ada' } });
      expect(fake.deleted).toEqual([]);
    },
  );
});

describe('a hub', () => {
  it('has no rights on what is for users and administrators alone', async () => {
    const response = await testApp({ labs: labs() }).call(`${API}/user-status`, { as: 'hub' });
    expect(response.status).toBe(403);
  });

  it('hands none of its own credential to the lab it creates', async () => {
    const fake = labs();
    await testApp({ labs: fake }).call(`${API}/labs/carol/create`, { as: 'hub', json: formRequest() });
    expect(fake.created[0]).toMatchObject({ key: { username: 'carol' }, secrets: { token: null } });
  });
});

describe('on a connection', () => {
  const config = aConfig({
    auth: { ...aConfig().auth, proxyHeaders: { trustedAddresses: ['192.0.2.1/32'], adminUsers: ['root'] } },
  });
  const { app, logs } = testApp({ labs: labs(), config });
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer({ app, host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) });
  });
  afterAll(() => server.close());

  const good = `Authorization: Bearer ${TOKENS.ada}`;
  const rows: readonly (readonly [string, number, readonly string[]])[] = [
    ['two Authorization headers, the first of them good', 401, [good, `Authorization: Bearer ${canary('other')}`]],
    ['two Authorization headers, the second of them good', 401, [`Authorization: Bearer ${canary('other')}`, good]],
    ['the same Authorization header twice', 401, [good, good]],
    ['an Authorization header and an empty one', 401, [good, 'Authorization:']],
    ['two Authorization headers in different case', 401, [good, good.toUpperCase()]],
    ['two tokens in one header', 401, [`${good}, Bearer ${TOKENS.hub}`]],
    ['a token in the query alone', 401, []],
    ['a token in a header of another name', 401, [`X-${good}`, `Proxy-${good}`]],
    ['a token with a control character', 400, [`${good}\x7f`.replace('\x7f', '\x01')]],
    ['a token of Basic', 401, [`Authorization: Basic ${Buffer.from(`ada:${TOKENS.ada}`).toString('base64')}`]],
    ['headers of a proxy from elsewhere', 401, ['X-Auth-Request-User: ada']],
    ['headers of a proxy from elsewhere, with a token', 401, ['X-Auth-Request-User: ada', 'X-Auth-Request-Token: x']],
    ['headers of a proxy from elsewhere, that name an administrator', 401, ['X-Auth-Request-User: root']],
    ['an address of the proxy that somebody claims', 401, ['X-Auth-Request-User: ada', 'X-Forwarded-For: 192.0.2.1']],
    [
      'other addresses of the proxy',
      401,
      ['X-Auth-Request-User: ada', 'X-Real-IP: 192.0.2.1', 'Forwarded: for=192.0.2.1'],
    ],
    ['headers of a proxy with underscores', 401, ['X_Auth_Request_User: ada']],
    ['names that every object of JavaScript has', 200, [good, '__proto__: a', 'constructor: b', '__proto__: c']],
    ['such names in the place of a credential', 401, ['__proto__: a', 'constructor: b', 'toString: c']],
    ["another user's name beside a good token", 200, [good, 'X-Auth-Request-User: root']],
  ];

  it.each(rows)('%s is answered %i', async (_what, status, headers) => {
    const head = [`GET ${API}/labs/ada?access_token=${TOKENS.ada}&token=${TOKENS.ada} HTTP/1.1`, 'Host: x'];
    const bytes = [...head, ...headers, 'Connection: close', '', ''].join('\r\n');
    const { answers } = await converse(server.address.port, bytes);
    expect(answers.map((answer) => answer.status)).toEqual([status]);
    if (status !== 200) expect(answers[0]?.body).not.toContain(INSIDE);
  });

  it('identity headers from elsewhere are written down, without what is in them', () => {
    const lines = logs.filter(({ msg }) => msg === 'identity headers from an address that is not trusted');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 40, remoteAddress: '127.0.0.1' });
    expect(JSON.stringify(lines)).not.toContain('root');
  });
});
