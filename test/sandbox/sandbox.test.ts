import fc from 'fast-check';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { DELAYS, type Sandbox, type SandboxOptions, type SandboxRequest, startSandbox } from '../../sandbox/index.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import {
  ConfigMaps,
  Namespaces,
  Pods,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../src/storage/kubernetes/resources.ts';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function aSandbox(options: SandboxOptions = {}): Promise<{ sandbox: Sandbox; client: KubeClient }> {
  const sandbox = await startSandbox(options);
  const client = new KubeClient({ connection: sandbox.connection() });
  closing.push(
    () => sandbox.close(),
    () => client.close(),
  );
  return { sandbox, client };
}

async function aLab(client: KubeClient, namespace = 'lab-ada') {
  const metadata = (name: string) => ({ name, namespace, labels: { app: 'lab' } });
  await client.create(Namespaces, { metadata: { name: namespace } });
  await client.create(ServiceAccounts, { metadata: metadata('lab') });
  await client.create(Secrets, { metadata: metadata('env'), stringData: { JUPYTERHUB_SERVICE_PREFIX: '/user/ada/' } });
  const service = await client.create(Services, {
    metadata: metadata('lab'),
    spec: { selector: { app: 'lab' }, ports: [{ port: 8888 }] },
  });
  await client.create(Pods, {
    metadata: { ...metadata('lab'), annotations: { 'labwright.dev/username': '<ada>' } },
    spec: {
      serviceAccountName: 'lab',
      restartPolicy: 'Never',
      containers: [
        { name: 'notebook', image: 'x:1', envFrom: [{ secretRef: { name: 'env' } }], ports: [{ containerPort: 8888 }] },
      ],
    },
  });
  return { namespace, name: 'lab', serviceIP: service.spec?.clusterIP ?? '' };
}

async function until<T>(ask: () => Promise<T>, isWanted: (value: T) => boolean): Promise<T> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await delay(5)) {
    const value = await ask();
    if (isWanted(value)) return value;
  }
  throw new Error('It did not become so in time');
}

const readyPod = (client: KubeClient, ref: { namespace: string; name: string }) =>
  until(
    () => client.get(Pods, ref),
    (pod) => pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true,
  );

describe('a lab in the sandbox', () => {
  it('answers HTTP at the address of its pod and of its service, and no more when it is gone', async () => {
    const { client } = await aSandbox({ serve: true });
    const lab = await aLab(client);
    const pod = await readyPod(client, lab);
    const version = await fetch(`http://${pod?.status?.podIP ?? ''}:8888/user/ada/api`);
    expect(await version.json()).toEqual({ version: expect.any(String) as string });
    const page = await fetch(`http://${lab.serviceIP}:8888/user/ada/lab`);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    // What a person typed is shown as text.
    expect(await page.text()).toContain('Lab of &#60;ada&#62;');
    expect((await fetch(`http://${lab.serviceIP}:8888/user/eve/`)).status).toBe(404);

    await client.delete(Pods, lab);
    await until(
      () => client.get(Pods, lab),
      (found) => found === undefined,
    );
    await expect(fetch(`http://${lab.serviceIP}:8888/user/ada/api`)).rejects.toThrow();
  });

  it('takes its time when told so', async () => {
    const { client } = await aSandbox({ delays: DELAYS.lively });
    const lab = await aLab(client);
    const started = performance.now();
    await readyPod(client, lab);
    expect(performance.now() - started).toBeGreaterThan(1_000);
  });
});

describe('the sandbox', () => {
  it('answers 410 for what its history has forgotten', async () => {
    const { sandbox, client } = await aSandbox({ kubelet: false });
    const { resourceVersion } = await client.list(ConfigMaps);
    await client.create(ConfigMaps, { metadata: { name: 'a', namespace: 'default' } });
    await client.create(ConfigMaps, { metadata: { name: 'b', namespace: 'default' } });
    const pages = client.listPages(ConfigMaps, { pageSize: 1 });
    await pages.next();
    await client.create(ConfigMaps, { metadata: { name: 'c', namespace: 'default' } });
    sandbox.compact();
    const watch = client.watch(ConfigMaps, { resourceVersion, signal: AbortSignal.timeout(5_000) });
    await expect(watch.next()).rejects.toMatchObject({ status: 410, reason: 'Expired' });
    await expect(pages.next()).rejects.toMatchObject({ status: 410, reason: 'Expired' });
  });

  it('remembers as many changes as it was told to', async () => {
    const { client } = await aSandbox({ kubelet: false, watchHistory: 2 });
    const { resourceVersion } = await client.list(ConfigMaps);
    const follow = () => client.watch(ConfigMaps, { resourceVersion, signal: AbortSignal.timeout(5_000) });
    for (const name of ['a', 'b']) await client.create(ConfigMaps, { metadata: { name, namespace: 'default' } });
    const watch = follow();
    expect((await watch.next()).value).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'a' } } });
    await watch.return(undefined);
    await client.create(ConfigMaps, { metadata: { name: 'c', namespace: 'default' } });
    await expect(follow().next()).rejects.toMatchObject({ status: 410 });
  });

  it('sends bookmarks while a watch is quiet', async () => {
    const { client } = await aSandbox({ kubelet: false, bookmarkIntervalMs: 20 });
    const { resourceVersion } = await client.list(ConfigMaps);
    const watch = client.watch(ConfigMaps, { resourceVersion, signal: AbortSignal.timeout(5_000) });
    expect((await watch.next()).value).toMatchObject({ type: 'BOOKMARK', object: { kind: 'ConfigMap' } });
    await watch.return(undefined);
  });

  it('ends its watches when told to', async () => {
    const { sandbox, client } = await aSandbox({ kubelet: false });
    const { resourceVersion } = await client.list(ConfigMaps);
    const watch = client.watch(ConfigMaps, { resourceVersion, signal: AbortSignal.timeout(5_000) });
    const next = watch.next();
    await client.create(ConfigMaps, { metadata: { name: 'a', namespace: 'default' } });
    await next;
    sandbox.endWatches();
    expect(
      (
        await until(
          () => watch.next(),
          ({ done, value }) => done === true || value.type !== 'BOOKMARK',
        )
      ).done,
    ).toBe(true);
  });

  it('tells of the requests that it gets, but not of its own kubelet', async () => {
    const seen: SandboxRequest[] = [];
    const { client } = await aSandbox({ onRequest: (request) => seen.push(request) });
    await readyPod(client, await aLab(client));
    const urls = seen.map(({ method, url }) => `${method} ${url.split('?')[0] ?? ''}`);
    expect(urls).toContain('POST /api/v1/namespaces');
    expect(urls.some((url) => url.includes('/binding'))).toBe(false);
  });

  it('is closed with its watches and connections, and can be closed twice', async () => {
    const { sandbox, client } = await aSandbox({ serve: true });
    await readyPod(client, await aLab(client));
    const { resourceVersion } = await client.list(Pods);
    const watch = client.watch(Pods, { resourceVersion, signal: AbortSignal.timeout(20_000) });
    const next = watch.next().catch(() => undefined);
    await sandbox.close();
    await next;
    await sandbox.close();
    await expect(client.version({ timeoutMs: 500 })).rejects.toThrow();
  });

  it('answers whatever it is asked with a Status and never breaks', async () => {
    const { sandbox, client } = await aSandbox({ kubelet: false });
    const word = fc.oneof(
      fc.constantFrom('api', 'apis', 'v1', 'namespaces', 'default', 'pods', 'secrets', 'services', 'events', 'status'),
      fc.constantFrom(
        'networking.k8s.io',
        'networkpolicies',
        'limitranges',
        'resourcequotas',
        'x',
        'binding',
        '%zz',
        '..',
      ),
      fc.string({ maxLength: 5 }).map(encodeURIComponent),
    );
    const path = fc.oneof(
      fc.array(word, { maxLength: 7 }).map((words) => `/${words.join('/')}`),
      fc
        .constantFrom('pods', 'secrets', 'services', 'configmaps', 'limitranges', 'resourcequotas', 'events')
        .map((plural) => `/api/v1/namespaces/default/${plural}`),
    );
    const query = fc.constantFrom(
      '',
      '?limit=x',
      '?limit=-1',
      '?labelSelector=a%20b',
      '?watch=1&timeoutSeconds=x',
      '?dryRun=All',
    );
    const field = fc.constantFrom(
      'metadata',
      'spec',
      'name',
      'labels',
      'containers',
      'limits',
      'ports',
      'data',
      'volumes',
      'hard',
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        fc.string({ maxLength: 4 }),
        fc.integer(),
        fc.constant(null),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(field, tie('tree'), { maxKeys: 4 }),
      ),
    }));
    const body = fc.oneof(
      fc.constant(undefined),
      fc.string(),
      tree.map((value) => JSON.stringify(value)),
    );
    const type = fc.constantFrom(
      'application/json',
      'application/merge-patch+json',
      'application/apply-patch+yaml',
      'text/plain',
    );
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE');
    await fc.assert(
      fc.asyncProperty(method, path, query, body, type, async (verb, where, options, content, contentType) => {
        const response = await fetch(`${sandbox.server}${where}${options}`, {
          method: verb,
          headers: { authorization: `Bearer ${sandbox.token}`, 'content-type': contentType },
          ...(verb === 'GET' || content === undefined ? {} : { body: content }),
          signal: AbortSignal.timeout(5_000),
        });
        const text = await response.text();
        expect(response.status, `${verb} ${where}${options} ${content ?? ''} -> ${text}`).toBeLessThan(500);
      }),
      { numRuns: 1_500, seed: 20_260 },
    );
    expect(await client.version()).toMatch(/^v1\.34/);
  });
});

describe('without a token', () => {
  it('asks for none, and takes no wrong one', async () => {
    const { sandbox } = await aSandbox({ kubelet: false, token: '' });
    const ask = (headers: Record<string, string>) => fetch(`${sandbox.server}/api/v1/namespaces`, { headers });
    expect((await ask({})).status).toBe(200);
    expect((await ask({ authorization: 'Bearer wrong' })).status).toBe(401);
  });
});
