import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { IdentityProvider } from '../../../src/auth/identity.ts';
import { jwtProvider, type JwtProvider } from '../../../src/auth/jwt/provider.ts';
import { staticTokens } from '../../../src/auth/static-tokens.ts';
import { audited, permissions, type Permission } from '../../../src/routes/server/permissions.ts';
import { makeKey, startIssuer, type TestIssuer } from '../../auth/jwt/support/issuer.ts';
import { issuerConfig } from '../../auth/jwt/support/provider.ts';
import { canary } from '../../support/canary.ts';
import { BUILD_ID, config, fakeBuilds } from '../builds/build-support.ts';
import { aLabState, API, type Caller, fakeLabs, formRequest, testApp, TOKENS } from '../support.ts';

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: string;
  /** Type of the body it reads; undefined when it reads none. */
  readonly bodyType: string | undefined;
}

const CALLERS: readonly Caller[] = ['ada', 'bob', 'hub', 'admin'];

let issuer: TestIssuer;
let jwt: JwtProvider;
let identity: readonly IdentityProvider[];
beforeAll(async () => {
  issuer = await startIssuer([await makeKey('one')]);
  jwt = jwtProvider({ issuers: [issuerConfig(issuer.issuer)], logger: pino({ level: 'silent' }) });
  identity = [staticTokens(config.auth.tokens), jwt];
});
afterAll(async () => {
  await jwt.close();
  await issuer.close();
});

/** Every route the router knows, with its operation. */
function routes(): Route[] {
  return testApp().app.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const { method, path, operationId = '', request } = definition.route;
    const [bodyType] = Object.keys(request?.body?.content ?? {});
    return [{ method: method.toUpperCase(), path, operation: operationId, bodyType }];
  });
}

/** Asks for something of ada's. */
async function ask({ method, path, operation, bodyType }: Route, authorization?: string): Promise<number> {
  const states = [aLabState(), aLabState({}, { username: 'ada', servername: 'gpu' })];
  const url = path
    .replace('{username}', 'ada')
    .replace('{server}', 'gpu')
    .replace('{id}', BUILD_ID)
    .replace('{provider}/{spec}', 'gh/ada/notebooks/main?build_only=true');
  const isForm = bodyType === 'application/x-www-form-urlencoded';
  const { call } = testApp({ labs: fakeLabs(states), builds: fakeBuilds(), config, identity });
  const response = await call(url, {
    method,
    // A form is sent from our own page; everything else about forms is tested beside them.
    headers: { origin: config.baseUrl, 'sec-fetch-site': 'same-origin', ...(authorization && { authorization }) },
    ...(bodyType === undefined
      ? {}
      : isForm
        ? { body: new URLSearchParams({ server: 'gpu' }) }
        : { json: operation === 'createBuild' ? { repository: 'ada/notebooks' } : formRequest() }),
  });
  if (operation === 'streamBuild') return streamStatus(await response.text());
  await response.body?.cancel();
  return response.status;
}

/** The stream of BinderHub is always a 200; its readers are told of a missing credential as of a missing right. */
function streamStatus(text: string): number {
  const { status_code: status = 200 } = JSON.parse(text.slice('data: '.length)) as { status_code?: number };
  return status === 403 ? 401 : status;
}

const askAs = (route: Route, caller: Caller) => ask(route, `Bearer ${TOKENS[caller]}`);

/** What the table says about somebody who asks for something of ada's, or of its own where no name is in the path. */
function admits(permission: Permission, { path, operation }: Route, caller: Caller): boolean {
  if (permission === 'open') return true;
  const isPerson = caller === 'ada' || caller === 'bob';
  const access = permission[isPerson ? 'user' : caller];
  if (access !== 'own') return access === 'any';
  return path.includes('{username}') || operation === 'cancelBuild' ? caller === 'ada' : isPerson;
}

describe('who may call what', () => {
  it('is written down for every route there is, and for no other', () => {
    const { app } = testApp();
    const served = app.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace('{.+}', '')}`);
    const known = routes();
    const written = known.map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`);
    expect(new Set(served)).toEqual(new Set(written));
    expect(new Set(known.map(({ operation }) => operation))).toEqual(new Set(Object.keys(permissions)));
  });

  it('is noticed when it is not: a route that was made in another way is one too many', () => {
    const { app } = testApp();
    app.get('/labwright/secret', (c) => c.text('hello'));
    const served = app.routes.filter(({ method }) => method !== 'ALL').map(({ path }) => path);
    expect(routes().map(({ path }) => path)).not.toContain('/labwright/secret');
    expect(served).toContain('/labwright/secret');
  });

  it('is asked before anything is changed: what changes something is audited', () => {
    const changing = routes().filter(
      ({ method, operation }) =>
        (method !== 'GET' && method !== 'OPTIONS' && operation !== 'logOut') || operation === 'streamBuild',
    );
    expect(new Set(changing.map(({ operation }) => operation))).toEqual(audited);
  });

  describe.each(routes())('$method $path', (route) => {
    const permission: Permission = permissions[route.operation as keyof typeof permissions];

    it('asks for a credential unless it is open', async () => {
      expect((await ask(route)) === 401).toBe(permission !== 'open');
    });

    it('refuses credentials that are none, or of others, or over, unless it is open', async () => {
      const now = Math.floor(Date.now() / 1000);
      const name = { preferred_username: 'ada' };
      const foreign = await startIssuer([await makeKey('one')]);
      const tokens = {
        unknown: canary('of-nobody'),
        expired: await issuer.sign({ ...name, iat: now - 7200, exp: now - 3600 }),
        'of another issuer': await foreign.sign(name),
        'of another audience': await issuer.sign({ ...name, aud: 'another' }),
        'signed by another': await issuer.sign(name, { key: foreign.keys[0]! }),
        'without a signature': `${(await issuer.sign(name)).split('.').slice(0, 2).join('.')}.`,
      };
      await foreign.close();
      for (const [what, token] of Object.entries(tokens)) {
        expect([what, (await ask(route, `Bearer ${token}`)) === 401]).toEqual([what, permission !== 'open']);
      }
    });

    it('knows the user of a good JWT as it knows the same user with another credential', async () => {
      const token = await issuer.sign({ preferred_username: 'ada', uid: 1001, gid: 1001 });
      expect(await ask(route, `Bearer ${token}`)).toBe(await askAs(route, 'ada'));
    });

    it.each(CALLERS)('answers %s as the table says', async (caller) => {
      const status = await askAs(route, caller);
      if (admits(permission, route, caller)) expect([401, 403, 429, 500]).not.toContain(status);
      else expect(status).toBe(403);
    });
  });
});

describe('a caller that is not admitted', () => {
  it('is told how to authenticate', async () => {
    const response = await testApp().call(`${API}/labs`);
    expect(response.headers.get('www-authenticate')).toBe('Bearer realm="labwright"');
    expect(await response.json()).toEqual({ detail: [{ msg: 'Authentication is required', type: 'invalid_token' }] });
  });

  it('learns nothing about a lab that is not its own', async () => {
    const { call } = testApp({ labs: fakeLabs([aLabState()]) });
    const foreign = await (await call(`${API}/labs/ada`, { as: 'bob' })).text();
    const missing = await (await call(`${API}/labs/nobody`, { as: 'bob' })).text();
    expect(foreign).toBe('{"detail":[{"msg":"Permission denied","type":"permission_denied"}]}');
    expect(missing).toBe(foreign);
  });

  it('learns nothing about what a body should be', async () => {
    const body = { body: '{', headers: { 'content-type': 'application/json' } };
    expect((await testApp().call(`${API}/labs/ada/create`, body)).status).toBe(401);
    expect((await testApp().call(`${API}/labs/ada/create`, { ...body, as: 'bob' })).status).toBe(403);
  });
});
