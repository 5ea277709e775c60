import { afterEach, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { FORM, ORIGIN, setUpPeople } from './pages/login-support.ts';
import { aConfig, aLabState, fakeLabs, testApp } from './support.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function setUp() {
  const labs = fakeLabs([aLabState()]);
  const people = await setUpPeople({ labs });
  closing.push(people.close);
  return { ...people, labs };
}

const FROM_ELSEWHERE = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
const PAGES = ['/labwright/logout', '/labwright/account/stop'];

describe('a form that another site makes a browser send', () => {
  it.each(['Basic YWRhOnNlY3JldA==', 'Bearer added-by-the-proxy'])(
    'does nothing where a proxy knows the person and hands on %s',
    async (authorization) => {
      const { call, labs } = await setUp();
      const send = (headers: Record<string, string>) =>
        call('/labwright/account/stop', {
          body: new URLSearchParams({ server: '' }),
          headers: { ...headers, authorization, 'x-auth-request-user': 'ada' },
          from: '10.0.0.1',
        });
      expect((await send(FROM_ELSEWHERE)).status).toBe(403);
      expect((await send({ origin: FROM_ELSEWHERE.origin })).status).toBe(403);
      expect((await send({ origin: 'null' })).status).toBe(403);
      expect((await send({ 'sec-fetch-site': 'same-site' })).status).toBe(403);
      expect(labs.deleted).toEqual([]);
      expect((await send(FORM)).status).toBe(303);
    },
  );

  it('does nothing with a token that a proxy adds for the person', async () => {
    const { call, labs } = await setUp();
    const body = new URLSearchParams({ server: '' });
    const answer = await call('/labwright/account/stop', { as: 'ada', body, headers: FROM_ELSEWHERE });
    expect(answer.status).toBe(403);
    expect(labs.deleted).toEqual([]);
  });
});

describe.each(PAGES)('a body for %s', (path) => {
  it.each([
    ['with parts that have no boundary', 'multipart/form-data', 'x'],
    ['with parts that are broken', 'multipart/form-data; boundary=x', '--x\r\nbroken'],
    [
      'with whole parts',
      'multipart/form-data; boundary=x',
      '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--x--',
    ],
    ['of JSON', 'application/json', '{}'],
    ['of another kind that begins alike', 'application/x-www-form-urlencodedx', 'server='],
    ['of no kind', '', 'server='],
  ])('%s is refused by its kind', async (_what, type, body) => {
    const { call, logs, labs } = await setUp();
    const answer = await call(path, { as: 'ada', method: 'POST', body, headers: { 'content-type': type } });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toMatchObject({
      detail: [{ type: 'unsupported_media_type', msg: expect.stringContaining('x-www-form-urlencoded') as string }],
    });
    expect(logs.filter(({ level }) => Number(level) >= 40)).toEqual([]);
    expect(labs.deleted).toEqual([]);
  });
});

describe('what is refused before anybody is asked who calls', () => {
  it.each([
    ...PAGES.map((path) => ['a form from elsewhere', path, { method: 'POST', headers: FROM_ELSEWHERE }] as const),
    ...PAGES.map((path) => ['a form of another kind', path, { method: 'POST', headers: { origin: ORIGIN } }] as const),
    ['a path that is no UTF-8', '/labwright/spawner/v1/labs/%ff', {}] as const,
  ])('%s at %s counts for the address', async (_what, path, options) => {
    const few = { perSecond: 1, burst: 3 };
    const { call } = testApp({ config: aConfig({ limits: { anonymous: few } }) });
    const statuses = [];
    for (let at = 0; at < 5; at += 1) statuses.push((await call(path, { ...options, from: '192.0.2.1' })).status);
    expect(statuses.slice(3)).toEqual([429, 429]);
    expect(statuses.slice(0, 3)).not.toContain(429);
  });
});

it('a login begins for whoever only asks for the head of a page', async () => {
  const { browser } = await setUp();
  const answer = await browser().go('/labwright/account', { method: 'HEAD' });
  expect([answer.status, answer.headers.get('location')]).toEqual([
    303,
    '/labwright/login?next=%2Flabwright%2Faccount',
  ]);
});
