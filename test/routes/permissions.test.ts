import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { permissions, type Permission } from '../../src/routes/permissions.ts';
import { aLabState, API, type Caller, fakeLabs, formRequest, testApp } from './support.ts';

interface Route {
  readonly method: string;
  readonly path: string;
  readonly operation: string;
}

const CALLERS: readonly Caller[] = ['ada', 'bob', 'hub', 'admin'];

/** Every route the router knows, with its operation. */
function routes(): Route[] {
  return testApp().app.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const { method, path, operationId = '' } = definition.route;
    return [{ method: method.toUpperCase(), path, operation: operationId }];
  });
}

/** Asks for something of ada's. */
async function ask({ method, path }: Route, as?: Caller): Promise<number> {
  const states = [aLabState(), aLabState({}, { username: 'ada', servername: 'gpu' })];
  const url = path.replace('{username}', 'ada').replace('{server}', 'gpu');
  const json = method === 'POST' ? { json: formRequest() } : {};
  const response = await testApp({ labs: fakeLabs(states) }).call(url, { method, ...json, ...(as && { as }) });
  await response.body?.cancel();
  return response.status;
}

function admits(permission: Permission, caller: Caller): boolean {
  if (permission === 'open') return true;
  const access = permission[caller === 'hub' || caller === 'admin' ? caller : 'user'];
  return access === 'any' || (access === 'own' && caller === 'ada');
}

describe('who may call what', () => {
  it('is written down for every route there is', () => {
    const { app } = testApp();
    const served = app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`);
    const known = routes();
    const written = known.map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`);
    expect(new Set(served)).toEqual(new Set(written));
    expect(known.map(({ operation }) => operation).sort()).toEqual(Object.keys(permissions).sort());
  });

  describe.each(routes())('$method $path', (route) => {
    const permission: Permission = permissions[route.operation as keyof typeof permissions];

    it('asks for a credential unless it is open', async () => {
      expect((await ask(route)) === 401).toBe(permission !== 'open');
    });

    // An administrator has a lab of its own only if it is somebody; this one is not.
    it.each(CALLERS.filter((caller) => !(route.operation === 'getUserStatus' && caller !== 'ada')))(
      'answers %s as the table says',
      async (caller) => {
        expect((await ask(route, caller)) < 300).toBe(admits(permission, caller));
        if (!admits(permission, caller)) expect(await ask(route, caller)).toBe(403);
      },
    );
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

  it('cannot be taken for another by writing its name differently', async () => {
    const { call } = testApp({ labs: fakeLabs([aLabState()]) });
    expect((await call(`${API}/labs/%61da`, { as: 'ada' })).status).toBe(200);
    expect((await call(`${API}/labs/%2561da`, { as: 'ada' })).status).toBe(403);
    expect((await call(`${API}/labs/ADA`, { as: 'ada' })).status).toBe(403);
  });
});
