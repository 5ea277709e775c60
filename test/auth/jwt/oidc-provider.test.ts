import { afterEach, describe, expect, it, vi } from 'vitest';
import '../../support/leaks.ts';
import { API, testApp } from '../../routes/support.ts';
import { OIDC_AUDIENCE, type OidcServer, startOidc } from './support/oidc.ts';
import { issuerConfig, startProvider, type TestProvider } from './support/provider.ts';

let server: OidcServer;
let provider: TestProvider;
afterEach(async () => {
  await provider.close();
  await server.close();
});

async function start(alg: 'RS256' | 'ES256' | 'EdDSA', change: Record<string, unknown> = {}) {
  // It writes hints for its operators to the console.
  for (const method of ['info', 'warn'] as const) vi.spyOn(console, method).mockImplementation(() => undefined);
  server = await startOidc(alg);
  provider = startProvider({ issuers: [issuerConfig(server.issuer, { audience: OIDC_AUDIENCE, ...change })] });
}

describe('an access token of a real OpenID Connect provider', () => {
  it.each(['RS256', 'ES256', 'EdDSA'] as const)('signed with %s is found good by discovery', async (alg) => {
    await start(alg);
    const token = await server.accessToken();
    expect(await provider.show(token)).toMatchObject({
      ...{ role: 'user', provider: 'jwt', subject: 'robot', username: 'robot', token },
      facts: { source: 'claims', user: { uid: 4711, gid: 4711, groups: [{ name: 'robots', id: null }] } },
    });
  });

  it('has its role by its scope', async () => {
    await start('RS256', { roles: [{ role: 'hub', claim: 'scope', value: 'labs:hub' }] });
    expect(await provider.show(await server.accessToken('labs:hub labs:use'))).toMatchObject({
      role: 'hub',
      token: null,
    });
    expect(await provider.show(await server.accessToken('labs:use'))).toMatchObject({ status: 403 });
  });

  it('opens the routes of its user over the whole app, and no others', async () => {
    await start('ES256');
    const { call } = testApp({ identity: [provider.provider] });
    const headers = { authorization: `Bearer ${await server.accessToken()}` };
    expect((await call(`${API}/labs/robot`, { headers })).status).toBe(404);
    expect((await call(`${API}/labs/ada`, { headers })).status).toBe(403);
    expect((await call(`${API}/labs`, { headers })).status).toBe(403);
  });

  it('is refused by an audience that it is not for', async () => {
    await start('RS256', { audience: 'labwright' });
    expect(await provider.show(await server.accessToken())).toMatchObject({ status: 401 });
  });
});
