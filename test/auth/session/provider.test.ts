import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { invalidToken } from '../../../src/auth/identity.ts';
import { type HubHolder, type HubTokens } from '../../../src/auth/jupyterhub/tokens.ts';
import { sessionProvider } from '../../../src/auth/login/session.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import { requestWith, setUpSessions } from './support.ts';

const SCOPES = { user: ['access:services'], hub: ['custom:labwright:hub'], admin: ['custom:labwright:admin'] };
const ADA: HubHolder = {
  kind: 'user',
  name: 'ada',
  admin: null,
  groups: ['staff'],
  scopes: new Set(['access:services']),
};

function setUp(resolve: HubTokens['resolve'] = () => Promise.resolve(ADA)) {
  const setup = setUpSessions();
  const provider = sessionProvider(setup.sessions, {
    tokens: { resolve },
    scopes: SCOPES,
    userModels: false,
    origin: setup.address.origin,
  });
  return { ...setup, provider };
}

const ORIGIN = 'https://hub.example.org';
const refused = { code: 'permission_denied', status: 403 };

describe('a browser with a session', () => {
  it('stands for the person who has logged in; the token is not for labs', async () => {
    const asked: string[] = [];
    const { provider, cookieFor } = setUp((token) => (asked.push(token), Promise.resolve(ADA)));
    const request = requestWith({ cookie: await cookieFor('canary-of-ada') });
    expect(provider.matches(request)).toBe(true);
    expect(await provider.identify(request)).toMatchObject({
      ...{ role: 'user', provider: 'session', subject: 'ada', username: 'ada', token: null },
    });
    expect(asked).toEqual(['canary-of-ada']);
  });

  it('has the role that the hub says now, and none when the hub has revoked the token', async () => {
    let scopes = ['access:services'];
    const { provider, cookieFor } = setUp(() =>
      scopes.length === 0 ? Promise.reject(invalidToken('no')) : Promise.resolve({ ...ADA, scopes: new Set(scopes) }),
    );
    const request = requestWith({ cookie: await cookieFor('a') });
    expect(await provider.identify(request)).toMatchObject({ role: 'user' });
    scopes = ['custom:labwright:admin'];
    expect(await provider.identify(request)).toMatchObject({ role: 'admin' });
    scopes = ['other'];
    await expect(provider.identify(request)).rejects.toMatchObject(refused);
    scopes = [];
    await expect(provider.identify(request)).rejects.toMatchObject({ code: 'invalid_token', status: 401 });
  });

  it('is not refused because the hub is down', async () => {
    const { provider, cookieFor } = setUp(() => Promise.reject(new LabwrightError('bad_gateway', 502, 'down')));
    const request = requestWith({ cookie: await cookieFor('a') });
    await expect(provider.identify(request)).rejects.toMatchObject({ status: 502 });
  });

  it('is judged by an Authorization header where there is one', async () => {
    const { provider, cookieFor } = setUp();
    const cookie = await cookieFor('a');
    expect(provider.matches(requestWith({ cookie, authorization: 'Bearer x' }))).toBe(false);
    expect(provider.matches(requestWith({ cookie: 'other=1' }))).toBe(false);
    expect(provider.matches(requestWith({}))).toBe(false);
  });

  it('whose cookie is not good is told to log in again, and nobody is asked', async () => {
    const { provider, cookieFor } = setUp(() => Promise.reject(new Error('nobody is asked')));
    const request = requestWith({ cookie: `${await cookieFor('a')}x.` });
    await expect(provider.identify(request)).rejects.toMatchObject({ code: 'invalid_token', status: 401 });
  });
});

describe('a request that changes something, with a session', () => {
  it.each([
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'same-origin', origin: ORIGIN },
    { origin: ORIGIN },
  ])('is taken from a page of ours: %j', async (headers) => {
    const { provider, sessions, cookieFor } = setUp();
    const cookie = await cookieFor('a');
    const csrf = (await sessions.find(requestWith({ cookie })))?.csrfToken ?? '';
    for (const method of ['POST', 'DELETE', 'PUT', 'PATCH']) {
      const request = requestWith({ cookie, 'x-csrf-token': csrf, ...headers }, method);
      expect(await provider.identify(request)).toMatchObject({ username: 'ada' });
    }
  });

  it.each([
    {},
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', origin: ORIGIN },
    { 'sec-fetch-site': ['same-origin', 'cross-site'] },
    { origin: 'null' },
    { origin: 'https://evil.example.org' },
    { origin: 'http://hub.example.org' },
    { origin: 'https://hub.example.org:8443' },
    { origin: 'https://hub.example.org.evil.example' },
    { origin: [ORIGIN, 'https://evil.example.org'] },
  ])('is refused from elsewhere, even with the token: %j', async (headers) => {
    const { provider, sessions, cookieFor } = setUp();
    const cookie = await cookieFor('a');
    const csrf = (await sessions.find(requestWith({ cookie })))?.csrfToken ?? '';
    const request = requestWith({ cookie, 'x-csrf-token': csrf, ...headers }, 'POST');
    await expect(provider.identify(request)).rejects.toMatchObject(refused);
  });

  it('is refused without the token, with another, and with that of another session', async () => {
    const { provider, sessions, cookieFor } = setUp();
    const [cookie, other] = [await cookieFor('a'), await cookieFor('a')];
    const tokenOf = async (of: string) => (await sessions.find(requestWith({ cookie: of })))?.csrfToken ?? '';
    const own = await tokenOf(cookie);
    const attempts = [[], '', 'x', await tokenOf(other), own.slice(1), `${own} `, own.toUpperCase(), [own, own]];
    for (const csrf of attempts) {
      const request = requestWith({ cookie, 'x-csrf-token': csrf, 'sec-fetch-site': 'same-origin' }, 'DELETE');
      await expect(provider.identify(request), JSON.stringify(csrf)).rejects.toMatchObject(refused);
    }
  });
});
