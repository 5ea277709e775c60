import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { request } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { identifyCaller } from '../../../src/auth/identify.ts';
import { createIdentification, type Identification } from '../../../src/auth/identification.ts';
import { type RunningServer, startServer } from '../../../src/routes/server/server.ts';
import { until } from '../../reconcile/support/until.ts';
import { aConfig, aLabState, fakeLabs, testApp } from '../../routes/support.ts';
import { requestWith, someKeys } from '../session/support.ts';
import { describeWithHub, PASSWORD, RealHub, TOKENS } from './real-hub.ts';

const CACHE_MS = 500;

describeWithHub('a real JupyterHub', { timeout: 60_000 }, () => {
  const labs = fakeLabs([aLabState()]);
  let hub: RealHub;
  let identification: Identification;
  let server: RunningServer;
  let folder: string;
  let url: string;

  beforeAll(async () => {
    const [port, logger] = [await freePort(), pino({ level: 'silent' })];
    url = `http://127.0.0.1:${String(port)}`;
    hub = await RealHub.start(`${url}/labwright/oauth_callback`);
    folder = await mkdtemp(join(tmpdir(), 'labwright-'));
    await writeFile(join(folder, 'token'), TOKENS.service);
    const jupyterhub = {
      apiUrl: hub.apiUrl,
      cacheLifetime: `${String(CACHE_MS)}ms`,
      tokenFile: join(folder, 'token'),
      login: { authorizeUrl: `${hub.apiUrl}/oauth2/authorize` },
    };
    const config = aConfig({ baseUrl: url, auth: { jupyterhub }, users: {} });
    identification = createIdentification(config, { logger, sessionKeys: someKeys() });
    const { app } = testApp({ labs, config, identification });
    server = await startServer({ app, host: '127.0.0.1', port, logger });
  }, 90_000);

  afterAll(async () => {
    await server?.close();
    await identification?.close();
    await hub?.close();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const identify = (token: string) =>
    identifyCaller(identification.providers, requestWith({ authorization: `Bearer ${token}` }));

  async function tokenOf(name: string, scopes?: readonly string[]): Promise<{ token: string; id: string }> {
    await hub.call('POST', `/users/${name}`);
    const { body } = await hub.call('POST', `/users/${name}/tokens`, scopes === undefined ? {} : { scopes });
    return body as { token: string; id: string };
  }

  it('says who a user is, and that the token may be used here', async () => {
    const { token } = await tokenOf('ada');
    expect(await identify(token)).toMatchObject({ role: 'user', username: 'ada', subject: 'ada', token });
  });

  it('says that a token may not be used here', async () => {
    const { token } = await tokenOf('ada', ['read:users!user=ada']);
    await expect(identify(token)).rejects.toMatchObject({ status: 403 });
    await expect(identify('canary-of-nobody')).rejects.toMatchObject({ status: 401 });
  });

  it('gives the roles by scopes', async () => {
    expect(await identify(TOKENS.spawner)).toMatchObject({ role: 'hub', username: null, subject: 'service spawner' });
    const { token } = await tokenOf('grace');
    expect(await identify(token)).toMatchObject({ role: 'admin', username: 'grace', token: null });
  });

  it('ends a token that it revokes', async () => {
    const { token, id } = await tokenOf('bob');
    await identify(token);
    expect((await hub.call('DELETE', `/users/bob/tokens/${id}`)).status).toBe(204);
    await until('the token is refused', () =>
      identify(token).then(
        () => false,
        ({ status }) => status === 401,
      ),
    );
  });

  it('lets a person log in with a browser, and out at the hub', async () => {
    const browser = new Browser();
    const page = await browser.visit(`${url}/labwright/account`);
    expect(page.url).toContain(`${hub.url}/hub/login`);
    const back = await browser.submit(page, { username: 'ada', password: PASSWORD });
    expect(back.url, back.text).toBe(`${url}/labwright/account`);
    expect(back.text).toContain('<span class="who">ada</span>');
    expect(back.text).toContain('Default server');
    const csrf = /name="_csrf" value="([\w-]+)"/.exec(back.text)?.[1] ?? '';
    const stopped = await browser.post(`${url}/labwright/account/stop`, { _csrf: csrf, server: '' });
    expect(stopped.url).toBe(`${url}/labwright/account`);
    expect(labs.deleted).toEqual([{ username: 'ada', servername: '' }]);

    // Logging out here ends the session here only: the hub gives another without a question.
    const out = await browser.post(`${url}/labwright/logout`, { _csrf: csrf });
    expect(out.text).toContain('You are logged out');
    expect((await browser.visit(`${url}/labwright/account`)).url).toBe(`${url}/labwright/account`);

    // The hub revokes the tokens of its login: that ends the session here.
    await browser.visit(`${hub.url}/hub/logout`);
    await until('the session has ended', async () =>
      (await browser.visit(`${url}/labwright/account`)).url.startsWith(`${hub.url}/hub/login`),
    );
  });

  it('knows the groups and the auth state of a user who has logged in', async () => {
    const { role, ...hubIdentity } = await identify(TOKENS.spawner);
    expect(await identification.users.find('ada', { role, ...hubIdentity })).toMatchObject({
      username: 'ada',
      uid: 1001,
      gid: 100,
      home: '/home/ada',
      groups: [{ name: 'astronomers', id: null }],
    });
    expect(await identification.users.find('nobody', { role, ...hubIdentity })).toMatchObject({ uid: null });
  });

  it('that ends refuses nobody', async () => {
    await hub.close();
    await until('the kept answer is over', () =>
      identify(TOKENS.spawner).then(
        () => false,
        ({ status }) => status === 502,
      ),
    );
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}

interface Page {
  readonly url: string;
  readonly text: string;
}

/** As much of a browser as a login needs: cookies by host and path, redirects, and one form. */
class Browser {
  readonly #cookies: { origin: string; path: string; name: string; value: string }[] = [];

  visit(url: string): Promise<Page> {
    return this.#ask(url, { headers: {} });
  }

  /** Fills in the form of a page, with the hidden fields it has. */
  submit({ url, text }: Page, fields: Record<string, string>): Promise<Page> {
    const action = /<form[^>]*action="([^"]+)"/.exec(text)?.[1]?.replaceAll('&amp;', '&') ?? '';
    const hidden = [...text.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => [
      name,
      value,
    ]);
    return this.post(new URL(action, url).href, { ...(Object.fromEntries(hidden) as object), ...fields });
  }

  post(url: string, fields: Record<string, string>): Promise<Page> {
    const headers = { origin: new URL(url).origin, 'sec-fetch-site': 'same-origin' };
    return this.#ask(url, { body: new URLSearchParams(fields), headers });
  }

  async #ask(url: string, init: { body?: URLSearchParams; headers: Record<string, string> }): Promise<Page> {
    let [at, options] = [url, init];
    for (let hops = 0; hops < 12; hops += 1) {
      const { origin, pathname } = new URL(at);
      const cookie = this.#cookies
        .filter((each) => each.origin === origin && pathname.startsWith(each.path))
        .map(({ name, value }) => `${name}=${value}`);
      // Not by `fetch`, which says of itself that it is no navigation; the hub gives its cookies to navigations.
      const answer = await request(at, {
        method: options.body === undefined ? 'GET' : 'POST',
        headers: {
          ...{ accept: 'text/html', connection: 'close', cookie: cookie.join('; '), 'sec-fetch-mode': 'navigate' },
          ...(options.body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
          ...options.headers,
        },
        body: options.body?.toString() ?? null,
      });
      for (const header of [answer.headers['set-cookie'] ?? []].flat()) this.#keep(origin, header);
      const text = await answer.body.text();
      const { location } = answer.headers;
      if (typeof location !== 'string') return { url: at, text };
      [at, options] = [new URL(location, at).href, { headers: {} }];
    }
    throw new Error(`too many redirects from ${url}`);
  }

  #keep(origin: string, header: string): void {
    const [pair = '', ...attributes] = header.split(/; */);
    const name = pair.slice(0, pair.indexOf('='));
    const path = attributes.find((attribute) => attribute.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
    const at = this.#cookies.findIndex((each) => each.origin === origin && each.name === name && each.path === path);
    if (at >= 0) this.#cookies.splice(at, 1);
    const expires = attributes.find((attribute) => attribute.toLowerCase().startsWith('expires='))?.slice(8);
    const isGone = attributes.includes('Max-Age=0') || (expires !== undefined && Date.parse(expires) < Date.now());
    if (!isGone) this.#cookies.push({ origin, path, name, value: pair.slice(name.length + 1).replaceAll('"', '') });
  }
}
