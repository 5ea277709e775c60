import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Namespaces, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { until } from '../reconcile/support/until.ts';
import { kubeconfigText } from '../support/api-server.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { ControllerProcess } from '../support/controller-process.ts';
import { FaultProxy } from '../support/fault-proxy.ts';

const RENEWED = 'labwright.dev/token-renewed';
/** The shortest that may be configured; it is looked after every 15 seconds. */
const LIFETIME = '5m';

let cluster: TestCluster;
let proxy: FaultProxy;
let process: ControllerProcess;
let folder: string;
let controller: string;
let prefix: string;

beforeAll(async () => {
  cluster = await startCluster();
  prefix = cluster.uniqueName('renewal');
  controller = `${prefix}-controller`;
  await cluster.client.create(Namespaces, { metadata: { name: controller } });
  await cluster.startKubelet({ namespacePrefix: prefix });
  proxy = await FaultProxy.start(cluster.direct);
  folder = mkdtempSync(join(tmpdir(), 'labwright-renewal-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, kubeconfigText(proxy.server, cluster.token), { mode: 0o600 });
  process = await ControllerProcess.prepare({
    credentials: { kubeconfig },
    namespace: controller,
    image: 'registry.example/lab:1',
    lab: { namespacePrefix: prefix, token: { source: 'signed', lifetime: LIFETIME } },
  });
  process.start();
  await process.firstAnswer();
}, 60_000);

afterAll(async () => {
  await process.close();
  await proxy.close();
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

async function tokenOf(user: string): Promise<string> {
  const secret = await cluster.client.get(Secrets, { namespace: `${prefix}-${user}`, name: 'lab-secrets' });
  return Buffer.from(secret?.data?.['token'] ?? '', 'base64').toString('utf8');
}

const intentOf = (user: string) => ({ namespace: controller, name: `lab-${user}` });

async function noteOf(user: string): Promise<string | undefined> {
  return (await cluster.client.get(Secrets, intentOf(user)))?.metadata?.annotations?.[RENEWED];
}

/** Two labs whose renewals are stopped just before and just after the note in the intent. */
const SIDES = { ada: 'hold-before', bob: 'hold-after' } as const;
const USERS = ['ada', 'bob'] as const;

it('is killed while it renews tokens: every lab has a good one, and the next process goes on with the same keys', async () => {
  for (const user of USERS) expect((await process.api.spawn(user)).last?.type).toBe('complete');
  const first = await Promise.all(USERS.map(tokenOf));
  const keys = createRemoteJWKSet(new URL(`${process.url}/labwright/.well-known/jwks.json`));
  const expected = { issuer: `${process.url}/labwright`, audience: process.url, typ: 'at+jwt' };
  for (const token of first) await jwtVerify(token, keys, expected);

  // As if they had been made three minutes ago. This patch does not pass the proxy.
  const note = new Date(Date.now() - 180_000).toISOString();
  proxy.onCall = (_n, { verb, namespace, resource, name }) => {
    const user = USERS.find((each) => name === `lab-${each}`);
    const isNote = verb === 'patch' && resource === 'secrets' && namespace === controller;
    return isNote && user !== undefined ? SIDES[user] : 'pass';
  };
  for (const user of USERS) {
    await cluster.client.patch(Secrets, intentOf(user), { metadata: { annotations: { [RENEWED]: note } } });
  }
  await until('both notes are held', () => proxy.held.size === USERS.length, 40_000);
  await process.kill('SIGKILL');
  proxy.onCall = () => 'pass';
  const second = await Promise.all(USERS.map(tokenOf));
  for (const token of second) expect(first).not.toContain(token);
  const [ofAda, ofBob] = await Promise.all(USERS.map(noteOf));
  expect(ofAda).toBe(note);
  expect(ofBob).not.toBe(note);

  process.start();
  await process.firstAnswer();
  await until('the one is renewed once more', async () => (await noteOf('ada')) !== note, 40_000);
  const third = await Promise.all(USERS.map(tokenOf));
  expect(third[0]).not.toBe(second[0]);
  // Of this one everything was noted.
  expect(third[1]).toBe(second[1]);
  for (const token of [...first, ...second, ...third]) {
    await jwtVerify(token, keys, expected);
    expect(process.output).not.toContain(token);
  }
  for (const user of USERS) expect(await process.api.delete(user)).toBe(204);
}, 120_000);
