import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegistryProblem } from '../../../src/storage/registry/problems.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { RegistryCredentials } from '../../../src/storage/registry/registry-credentials.ts';
import { canary } from '../../support/canary.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';

const PASSWORD = canary('registry-secret');
const FILE = JSON.stringify({ auths: { 'r.example': { username: 'ada', password: PASSWORD } } });

let cluster: TestCluster;
let namespace: string;
beforeEach(async () => {
  cluster = await startCluster();
  namespace = cluster.uniqueName('controller');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
});
afterEach(() => cluster.close());

function credentials(secret: string | undefined = 'registry', maxAgeMs = 60_000): RegistryCredentials {
  return new RegistryCredentials({ client: cluster.client, namespace, secret, maxAgeMs });
}

function keep(data: Record<string, string>): Promise<unknown> {
  return cluster.client.apply(Secrets, { metadata: { name: 'registry', namespace }, stringData: data });
}

describe('the credentials of the registry', () => {
  it.each(['config.json', '.dockerconfigjson'])('are the text of the file %s of their Secret', async (key) => {
    await keep({ [key]: FILE });
    expect(await credentials().read()).toBe(FILE);
  });

  it('are none where none are configured', async () => {
    expect(await new RegistryCredentials({ client: cluster.client, namespace, secret: undefined }).read()).toBeNull();
  });

  it('are read again once they are old, and at once after a failure', async () => {
    const kept = credentials();
    const fresh = credentials('registry', 0);
    await expect(kept.read()).rejects.toBeInstanceOf(RegistryProblem);
    await keep({ 'config.json': FILE });
    expect(await kept.read()).toBe(FILE);
    const next = FILE.replace('ada', 'bob');
    await keep({ 'config.json': next });
    expect([await kept.read(), await fresh.read()]).toEqual([FILE, next]);
  });

  it.each([
    [undefined, 'MissingSecret', 'The Secret "registry"'],
    [{ other: FILE }, 'MissingSecret', 'has no config.json'],
    [{ 'config.json': `{${PASSWORD}` }, 'RegistryDenied', 'it is not JSON'],
    [{ 'config.json': '{"credsStore":"desktop"}' }, 'RegistryDenied', 'credential helpers'],
  ] as const)('are refused with a reason: %#', async (data, reason, words) => {
    if (data !== undefined) await keep(data);
    const error: unknown = await credentials()
      .read()
      .catch((problem: unknown) => problem);
    expect(error).toMatchObject({ name: 'RegistryProblem', reason, transient: false });
    expect((error as Error).message).toContain(words);
    expect(String((error as Error).stack)).not.toContain(PASSWORD);
  });

  it('may be there later when the cluster cannot be asked', async () => {
    const client = new KubeClient({ connection: cluster.connection() });
    await client.close();
    const unread = new RegistryCredentials({ client, namespace, secret: 'registry' });
    await expect(unread.read()).rejects.toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });
});
