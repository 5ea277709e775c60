import { writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import { pino } from 'pino';
import { ADA, FORM, ORIGIN, type People, setUpPeople } from './login-support.ts';
import { until } from '../../reconcile/support/until.ts';
import { aLabState, API, fakeLabs } from '../support.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function setUp(options: Parameters<typeof setUpPeople>[0] = {}): Promise<People> {
  const people = await setUpPeople(options);
  open.push(people);
  return people;
}

const ACCOUNT = '/labwright/account';
const sessionOf = (cookies: Map<string, string>) => [...cookies].find(([name]) => name.includes('-session-'));

describe('a login', () => {
  it('leads through the hub to the page that was asked for, with a session', async () => {
    const { browser } = await setUp();
    const ada = browser();
    const sent = await ada.go(`${ACCOUNT}?x=1`);
    expect([sent.status, sent.headers.get('location')]).toEqual([
      303,
      '/labwright/login?next=%2Flabwright%2Faccount%3Fx%3D1',
    ]);
    expect(sent.headers.get('www-authenticate')).toBeNull();
    const back = await ada.logIn(ADA, sent.headers.get('location') ?? '');
    expect([back.status, back.headers.get('location')]).toEqual([303, `${ACCOUNT}?x=1`]);
    expect(back.headers.get('cache-control')).toBe('no-store');
    expect([...ada.cookies.keys()].map((name) => name.replace(/\w{8}$/, ''))).toEqual(['__Secure-labwright-session-']);
    const page = await ada.go(ACCOUNT);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('<span class="who">ada</span>');
  });

  it('asks the hub with PKCE and a state, and tells it no more', async () => {
    const { browser } = await setUp();
    const answer = await browser().go('/labwright/login?next=/labwright/docs');
    const { origin, pathname, searchParams } = new URL(answer.headers.get('location') ?? '');
    expect(`${origin}${pathname}`).toBe(`${ORIGIN}/hub/api/oauth2/authorize`);
    expect(Object.fromEntries(searchParams)).toEqual({
      client_id: 'service-labwright',
      redirect_uri: `${ORIGIN}/labwright/oauth_callback`,
      response_type: 'code',
      state: expect.stringMatching(/^[\w-]{43}$/) as string,
      code_challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
      code_challenge_method: 'S256',
    });
    expect(answer.headers.getSetCookie().join()).toMatch(
      /^__Secure-labwright-login-\w{8}=[\w.-]+; Max-Age=600; Path=\/labwright\/oauth_callback; HttpOnly; SameSite=Lax; Secure$/,
    );
  });

  it.each([
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    '/user/mallory',
    '/labwright/../user',
    '',
    'x\ny',
  ])('never leads to %j', async (next) => {
    const { browser } = await setUp();
    const back = await browser().logIn(ADA, `/labwright/login?next=${encodeURIComponent(next)}`);
    expect(back.headers.get('location')).toBe(ACCOUNT);
  });

  it('begins another session each time, and never one that was brought along', async () => {
    const { browser } = await setUp();
    const [ada, mallory] = [browser(), browser()];
    await mallory.logIn({ ...ADA, name: 'mallory' });
    const planted = sessionOf(mallory.cookies);
    ada.cookies.set(...(planted ?? ['', '']));
    await ada.logIn();
    expect(sessionOf(ada.cookies)?.[1]).not.toBe(planted?.[1]);
    expect(await (await ada.go(ACCOUNT)).text()).toContain('<span class="who">ada</span>');
    const first = sessionOf(ada.cookies)?.[1];
    await ada.logIn();
    expect(sessionOf(ada.cookies)?.[1]).not.toBe(first);
  });

  it('writes who has logged in, and no secret, into the log', async () => {
    const { browser, logs } = await setUp();
    const ada = browser();
    const callback = await ada.begin();
    await ada.go(callback);
    await ada.go(ACCOUNT);
    expect(logs).toContainEqual(expect.objectContaining({ msg: 'logged in', caller: 'ada', role: 'user' }));
    const { searchParams } = new URL(callback);
    const secrets = ['canary', searchParams.get('code') ?? '?', searchParams.get('state') ?? '?'];
    for (const secret of [...secrets, ...ada.cookies.values()]) expect(JSON.stringify(logs)).not.toContain(secret);
  });
});

describe('an answer of the hub', () => {
  /** Each row changes a callback that would be good; the browser still has its cookie. */
  it.each<[string, number, (url: URL) => void]>([
    ['without a state', 400, (url) => url.searchParams.delete('state')],
    ['with another state', 400, (url) => url.searchParams.set('state', 'x'.repeat(43))],
    ['with an empty state', 400, (url) => url.searchParams.set('state', '')],
    ['with two states', 400, (url) => url.searchParams.append('state', 'x')],
    ['with another code', 400, (url) => url.searchParams.set('code', 'x')],
    ['without a code', 400, (url) => url.searchParams.delete('code')],
    ['with two codes', 400, (url) => url.searchParams.append('code', 'x')],
    ['with a code and an error', 400, (url) => url.searchParams.set('error', 'access_denied')],
    ['that refuses', 403, (url) => (url.searchParams.delete('code'), url.searchParams.set('error', 'access_denied'))],
    ['that complains', 502, (url) => (url.searchParams.delete('code'), url.searchParams.set('error', '<script>'))],
  ])('%s makes no session but a page with a sentence', async (_, status, change) => {
    const { browser } = await setUp();
    const ada = browser();
    const url = new URL(await ada.begin());
    change(url);
    const answer = await ada.go(url.href);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await answer.text()).not.toContain('<script');
    expect([...ada.cookies]).toEqual([]);
  });

  it('counts in the browser that asked only: nobody is logged in as somebody else', async () => {
    const { browser } = await setUp();
    const [ada, mallory] = [browser(), browser()];
    const callback = await mallory.begin({ ...ADA, name: 'mallory' });
    expect((await ada.go(callback)).status).toBe(400);
    await ada.begin();
    expect((await ada.go(callback)).status).toBe(400);
    expect(sessionOf(ada.cookies)).toBeUndefined();
  });

  it('counts once, for whoever kept the cookie too', async () => {
    const { browser, hub } = await setUp();
    const [ada, copy] = [browser(), browser()];
    const callback = await ada.begin();
    for (const cookie of ada.cookies) copy.cookies.set(...cookie);
    expect((await ada.go(callback)).status).toBe(303);
    const asked = hub.asked.length;
    expect((await copy.go(callback)).status).toBe(400);
    expect((await ada.go(callback)).status).toBe(400);
    expect(hub.asked).toHaveLength(asked);
  });

  it('counts once when it comes twice at the same time', async () => {
    const { browser } = await setUp();
    const [ada, copy] = [browser(), browser()];
    const callback = await ada.begin();
    for (const cookie of ada.cookies) copy.cookies.set(...cookie);
    const answers = await Promise.all([ada.go(callback), copy.go(callback)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 400]);
  });

  it('is not taken for the login of another instance', async () => {
    const [one, other] = [await setUp(), await setUp({ baseUrl: 'https://other.example.org' })];
    const [ada, there] = [one.browser(), other.browser()];
    const callback = await there.begin();
    const [foreign] = there.cookies.values();
    await ada.begin();
    const [name] = ada.cookies.keys();
    ada.cookies.set(name ?? '', foreign ?? '');
    expect((await ada.go(callback)).status).toBe(400);
  });

  it.each([
    ['of somebody without a role', 403, { ...ADA, scopes: ['self'] }],
    ['of somebody with a name that nothing can be made for', 403, { ...ADA, name: 'a/b' }],
    ['without a kind that is known', 502, { ...ADA, kind: 'robot' }],
  ])('%s ends the way, instead of going to and fro', async (_, status, holder) => {
    const { browser } = await setUp();
    const eve = browser();
    expect((await eve.logIn(holder)).status).toBe(status);
    expect([...eve.cookies]).toEqual([]);
  });

  it.each([500, 503])('that fails with %i, or does not come, is said to be no fault of the person', async (status) => {
    const { browser, hub } = await setUp();
    const ada = browser();
    const callback = await ada.begin();
    hub.instead = (_, response) => response.writeHead(status).end('<html>');
    const answer = await ada.go(callback);
    expect(answer.status).toBe(502);
    expect(await answer.text()).toContain('JupyterHub does not answer as it should');
    await hub.close();
    expect((await ada.go(await ada.begin())).status).toBe(502);
  });

  it('to a service with another token is a mistake of ours, and the log says which', async () => {
    const { browser, tokenFile, logs } = await setUp();
    await writeFile(tokenFile, 'canary-of-another-service');
    expect((await browser().logIn()).status).toBe(502);
    expect(JSON.stringify(logs)).toContain('invalid_client');
    expect(JSON.stringify(logs)).not.toContain('canary');
  });
});

describe('a session', () => {
  it('is good for the API as well: to read by itself, to change with the CSRF token in a header', async () => {
    const labs = fakeLabs([aLabState()]);
    const { browser } = await setUp({ labs });
    const ada = browser();
    await ada.logIn();
    const csrf = await ada.csrfToken();
    expect((await ada.go(`${API}/labs/ada`)).status).toBe(200);
    expect((await ada.go(`${API}/labs/bob`)).status).toBe(403);
    const headers = { 'sec-fetch-site': 'same-origin' };
    const remove = (more: object) => ada.go(`${API}/labs/ada`, { method: 'DELETE', headers: { ...headers, ...more } });
    expect((await remove({})).status).toBe(403);
    expect((await remove({ 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(403);
    expect((await remove({ 'x-csrf-token': csrf, 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect(labs.deleted).toEqual([]);
    expect((await remove({ 'x-csrf-token': csrf })).status).toBe(204);
  });

  it('whose token the hub has revoked is over once that is known', async () => {
    const { browser, hub } = await setUp({ cacheLifetime: '300ms' });
    const ada = browser();
    await ada.logIn();
    expect((await ada.go(ACCOUNT)).status).toBe(200);
    hub.holders.clear();
    await until('the page leads to the login', async () => {
      const { status, headers } = await ada.go(ACCOUNT);
      return status === 303 && headers.get('location') === '/labwright/login?next=%2Flabwright%2Faccount';
    });
    const answer = await ada.go(ACCOUNT, { headers: { accept: 'application/json' } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="labwright"');
    expect(await answer.json()).toMatchObject({ detail: [{ type: 'invalid_token' }] });
  });

  it('of somebody who has lost the role, or of a hub that is down, is a page with a sentence and no login', async () => {
    const { browser, hub } = await setUp({ cacheLifetime: '1ms' });
    const ada = browser();
    await ada.logIn();
    const [token] = hub.holders.keys();
    hub.holders.set(token ?? '', { ...ADA, scopes: [] });
    const without = await until('the answer from the login is over', async () => {
      const answer = await ada.go(ACCOUNT);
      return answer.status !== 200 && answer;
    });
    expect([without.status, await without.text()]).toEqual([403, expect.stringContaining('may not use Labwright')]);
    await hub.close();
    const down = await ada.go(ACCOUNT);
    expect([down.status, await down.text()]).toEqual([502, expect.stringContaining('try again later')]);
  });

  it('works where everything on the host is ours', async () => {
    const { browser } = await setUp({ pathPrefix: '' });
    const ada = browser();
    const sent = await ada.go('/account');
    expect(sent.headers.get('location')).toBe('/login?next=%2Faccount');
    expect((await ada.logIn(ADA, '/login?next=//evil.example')).headers.get('location')).toBe('/account');
    expect([...ada.cookies.keys()].join()).toMatch(/^__Host-labwright-session-/);
    expect((await ada.go('/account')).status).toBe(200);
  });

  it('works below the path of the base URL, as browsers see it', async () => {
    const { browser } = await setUp({ baseUrl: `${ORIGIN}/jupyter` });
    const ada = browser();
    const sent = await ada.go('/labwright/account?x=1');
    expect(sent.headers.get('location')).toBe('/jupyter/labwright/login?next=%2Fjupyter%2Flabwright%2Faccount%3Fx%3D1');
    const callback = await ada.begin(ADA, (sent.headers.get('location') ?? '').replace('/jupyter', ''));
    expect(new URL(callback).pathname).toBe('/jupyter/labwright/oauth_callback');
    const back = await ada.go(callback.replace('/jupyter', ''));
    expect(back.headers.get('location')).toBe('/jupyter/labwright/account?x=1');
  });

  it('ends with the logout, for a copy of the cookie too', async () => {
    const { browser } = await setUp();
    const [ada, copy] = [browser(), browser()];
    await ada.logIn();
    const csrf = await ada.csrfToken();
    for (const cookie of ada.cookies) copy.cookies.set(...cookie);
    const answer = await ada.send('/labwright/logout', { _csrf: csrf });
    expect(answer.status).toBe(200);
    expect(await answer.text()).toContain(`href="${ORIGIN}/hub/logout"`);
    expect([...ada.cookies]).toEqual([]);
    expect((await copy.go(ACCOUNT)).status).toBe(303);
  });

  it('can be left while the hub is down', async () => {
    const { browser, hub } = await setUp();
    const ada = browser();
    await ada.logIn();
    const csrf = await ada.csrfToken();
    await hub.close();
    expect((await ada.send('/labwright/logout', { _csrf: csrf })).status).toBe(200);
  });

  it('is not ended by another site, nor without the token', async () => {
    const { browser } = await setUp();
    const ada = browser();
    await ada.logIn();
    const csrf = await ada.csrfToken();
    expect((await ada.send('/labwright/logout', { _csrf: csrf }, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await ada.send('/labwright/logout', {})).status).toBe(403);
    expect((await ada.go('/labwright/logout')).status).toBe(405);
    expect((await ada.go(ACCOUNT)).status).toBe(200);
  });

  it('that is none can be left as well', async () => {
    const { browser } = await setUp();
    expect((await browser().send('/labwright/logout', {})).status).toBe(200);
  });
});

describe('over a real connection', () => {
  it('a form is known by its field, and a header counts once', async () => {
    const labs = fakeLabs([aLabState()]);
    const { app, browser } = await setUp({ labs });
    const ada = browser();
    await ada.logIn();
    const csrf = await ada.csrfToken();
    const server = await startServer({ app, host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) });
    open.push(server);
    const [name, value] = sessionOf(ada.cookies) ?? ['', ''];
    const stop = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      fetch(`http://127.0.0.1:${server.address.port}/labwright/account/stop`, {
        method: 'POST',
        redirect: 'manual',
        headers: { cookie: `${name}=${value}`, origin: ORIGIN, accept: FORM.accept, connection: 'close', ...headers },
        body: new URLSearchParams(fields),
      });
    const statuses = [];
    for (const answer of [
      await stop({ server: '' }),
      await stop({ server: '', _csrf: 'x' }),
      await stop({ server: '', _csrf: csrf }, { origin: 'https://evil.example' }),
      await stop({ server: '', _csrf: csrf }, { 'x-csrf-token': 'x' }),
      await stop({ server: '', _csrf: csrf }),
    ]) {
      statuses.push(answer.status);
      await answer.body?.cancel();
    }
    expect(statuses).toEqual([403, 403, 403, 403, 303]);
    expect(labs.deleted).toEqual([{ username: 'ada', servername: '' }]);
  });
});

describe('where nobody can log in', () => {
  it('the routes of the login say so, and browsers are not sent there', async () => {
    const { call, browser } = await setUp({ canLogIn: false });
    expect((await call('/labwright/login')).status).toBe(404);
    expect((await call('/labwright/oauth_callback?code=a&state=b')).status).toBe(404);
    const answer = await browser().go(ACCOUNT);
    expect(answer.status).toBe(401);
    expect(await answer.text()).toContain('You are not logged in');
  });
});
