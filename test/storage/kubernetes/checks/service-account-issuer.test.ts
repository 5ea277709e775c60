import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../../../support/leaks.ts';
import { askServiceAccountIssuer } from '../../../../src/storage/kubernetes/checks/service-account-issuer.ts';
import { type KubeConnection, tokenConnection } from '../../../../src/storage/kubernetes/connection.ts';
import { Namespaces, ServiceAccounts } from '../../../../src/storage/kubernetes/resources.ts';
import { serviceAccountsConfig, startProvider, type TestProvider } from '../../../auth/jwt/support/provider.ts';
import { startCluster, type TestCluster } from '../../../support/cluster.ts';

const isReal = process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver';
/** The sandbox issues no tokens: what it takes to be believed can only be shown with a real API server. */
const itNeedsApiServer = isReal ? it : it.skip;
const AUDIENCE = 'labwright';

let cluster: TestCluster;
let namespace: string;
const providers: TestProvider[] = [];
const connections: KubeConnection[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  namespace = cluster.uniqueName('issuer');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  for (const name of ['hub', 'admin', 'stranger']) {
    await cluster.client.create(ServiceAccounts, { metadata: { namespace, name } });
  }
});
afterAll(async () => {
  await Promise.all(providers.map((provider) => provider.close()));
  await Promise.all(connections.map((connection) => connection.close()));
  await cluster.client.delete(Namespaces, { name: namespace });
  await cluster.close();
});

/** A token as a kubelet projects it into a pod. */
async function tokenOf(name: string, spec: Record<string, unknown> = { audiences: [AUDIENCE] }): Promise<string> {
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 600, ...spec },
  };
  const answer = await cluster.client.createSubresource(ServiceAccounts, { namespace, name }, 'token', body);
  return (answer as { status: { token: string } }).status.token;
}

function start(connection: KubeConnection = cluster.connection()): TestProvider {
  const config = serviceAccountsConfig({ hub: [`${namespace}/hub`], admin: [`${namespace}/admin`] });
  const provider = startProvider({
    issuers: [],
    serviceAccounts: { config, ask: askServiceAccountIssuer(connection) },
    keys: { cooldownMs: 20 },
  });
  providers.push(provider);
  return provider;
}

describe('a projected service-account token', () => {
  itNeedsApiServer('proves that its holder is a hub, or an administrator, by the cluster’s own keys', async () => {
    const provider = start();
    expect(await provider.show(await tokenOf('hub'))).toEqual({
      ...{ role: 'hub', provider: 'service-account', subject: `system:serviceaccount:${namespace}:hub` },
      ...{ username: null, facts: null, token: null },
    });
    expect(await provider.show(await tokenOf('admin'))).toMatchObject({ role: 'admin' });
  });

  itNeedsApiServer('of any other account is good and gives no role', async () => {
    expect(await start().show(await tokenOf('stranger'))).toMatchObject({ status: 403, code: 'permission_denied' });
  });

  itNeedsApiServer('for another audience is refused, that of the API server itself too', async () => {
    const provider = start();
    expect(await provider.show(await tokenOf('hub', { audiences: ['another'] }))).toMatchObject({ status: 401 });
    expect(await provider.show(await tokenOf('hub', {}))).toMatchObject({ status: 401 });
  });

  itNeedsApiServer('is refused when it has been changed, and when its time is over', async () => {
    const provider = start();
    const token = await tokenOf('stranger');
    const [header, , signature] = token.split('.');
    const claims = { ...decodeJwt(token), sub: `system:serviceaccount:${namespace}:hub` };
    const forged = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
    expect(await provider.show(forged)).toMatchObject({ status: 401 });
    const config = serviceAccountsConfig({ hub: [`${namespace}/hub`] });
    const late = startProvider({
      issuers: [],
      serviceAccounts: { config, ask: askServiceAccountIssuer(cluster.connection()) },
      clock: () => Date.now() + 3_600_000,
    });
    providers.push(late);
    expect(await late.show(await tokenOf('hub'))).toMatchObject({ status: 401 });
  });

  itNeedsApiServer('needs no more of the controller’s account than every service account may do', async () => {
    const { server, ca } = cluster.direct;
    const connection = tokenConnection({
      server,
      token: await tokenOf('stranger', {}),
      ...(ca === undefined ? {} : { ca }),
    });
    connections.push(connection);
    expect(await start(connection).show(await tokenOf('hub'))).toMatchObject({ role: 'hub' });
  });

  it('cannot be checked while the API server does not say who issues them', async () => {
    const provider = start(tokenConnectionToNobody());
    const claims = { iss: 'https://kubernetes.default.svc', aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 60 };
    const token = ['{"alg":"RS256"}', JSON.stringify(claims), 'x'].map((part) =>
      Buffer.from(part).toString('base64url'),
    );
    expect(await provider.show(token.join('.'))).toMatchObject({ status: 503, code: 'not_ready' });
  });
});

function tokenConnectionToNobody(): KubeConnection {
  const connection = tokenConnection({ server: 'http://127.0.0.1:1', token: 'canary-of-the-controller' });
  connections.push(connection);
  return connection;
}
