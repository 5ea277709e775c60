import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { it } from 'vitest';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { testApp } from '../../routes/support.ts';
import { canary } from '../canary.ts';
import { startCluster, type TestCluster } from '../cluster.ts';
import { LabApi } from '../lab-api.ts';

/** Writes nowhere: what it would have written is seen all the same. */
const logger = pino({}, { write: () => undefined });

/** Ways to let a planted credential out; `LEAKS` chooses some of them. */
const LEAKS: Readonly<Record<string, (secret: string) => unknown>> = {
  nothing: () => logger.info('canaries sing'),
  log: (secret) => logger.info({ secret }),
  child: (secret) => logger.child({ secret }).warn('child'),
  error: (secret) => logger.error(new Error('outer', { cause: new Error(secret) })),
  base64: (secret) => logger.info(Buffer.from(`x${secret}`).toString('base64')),
  output: (secret) => process.stderr.write(secret),
  answer: async (secret) => {
    const { app, call } = testApp();
    app.get('/echo', (c) => c.text(secret));
    await (await call('/echo')).text();
  },
  header: async (secret) => {
    const { app, call } = testApp();
    app.get('/echo', (c) => c.text('', 200, { 'x-echo': secret }));
    await call('/echo');
  },
  client: (secret) => withLabApi(secret, async (api) => void (await api.running().catch(() => undefined))),
  written: (secret) =>
    withCluster(async (cluster, proxied) => {
      const ref = { namespace: 'here', name: 'a' };
      await proxied.create(ConfigMaps, { metadata: ref, data: { secret } });
      await cluster.client.delete(ConfigMaps, ref);
    }),
  annotation: (secret) =>
    withCluster(async (_cluster, proxied) => {
      const metadata = { namespace: 'here', name: 'a', annotations: { secret } };
      await proxied.create(Secrets, { metadata, data: {} });
    }),
  left: (secret) =>
    withCluster(async ({ client }) => {
      await client.create(ConfigMaps, { metadata: { namespace: 'here', name: 'a' }, data: { secret } });
    }),
  secret: (secret) =>
    withCluster(async (_cluster, proxied) => {
      const data = { key: Buffer.from(secret).toString('base64') };
      await proxied.create(Secrets, { metadata: { namespace: 'here', name: 'a' }, data });
    }),
};

async function withCluster(act: (cluster: TestCluster, proxied: KubeClient) => Promise<void>): Promise<void> {
  const cluster = await startCluster();
  const proxied = new KubeClient({ connection: cluster.connection() });
  await cluster.client.create(Namespaces, { metadata: { name: 'here' } });
  await act(cluster, proxied);
  await proxied.close();
  await cluster.close();
}

async function withLabApi(token: string, act: (api: LabApi) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => response.writeHead(400).end(request.headers.authorization));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const api = new LabApi({ url, token, image: 'x', size: 'x' });
  await act(api);
  await api.close();
  await new Promise((resolve) => server.close(resolve));
}

it.for((process.env['LEAKS'] ?? '').split(','))('lets a planted credential out: %s', async (name) => {
  const leak = LEAKS[name];
  if (leak === undefined) throw new Error('there is no such leak');
  await leak(canary(`in-${name}`));
});
