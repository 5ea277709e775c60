import { describe, expect, it } from 'vitest';
import { NetworkPolicies, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });
const PATIENCE_MS = 10_000;
const LICENCE = { secretName: 'site', secretKey: 'licence', env: 'LICENCE' };

/** Holds the first call of this kind until it is released. */
function holdFirst({ proxy }: Setting, isIt: (request: KubeRequest) => boolean) {
  let once = true;
  proxy.onCall = (_n, request) => {
    if (!once || !isIt(request)) return 'pass';
    once = false;
    return 'hold-before';
  };
}

/** Names of what the lab's container has as its environment, without what every lab has. */
async function environment(setting: Setting, key = aKey()): Promise<string[]> {
  const pod = await setting.pod(key);
  const name = setting.names(key).envSecret;
  const env = await setting.client.get(Secrets, { namespace: setting.namespaceOf(key), name });
  const named = (pod?.spec?.containers[0]?.env ?? []).map((each) => each.name);
  return [...named, ...Object.keys(env?.data ?? {})].filter((each) => ['LICENCE', 'COURSE'].includes(each));
}

describe.concurrent('when the configuration changes', () => {
  it('a lab whose objects are being made gets all of them by the one before, and the next lab by the new one', async () => {
    const setting = await clusters.setting({ config: aConfig({ secrets: [LICENCE] }) });
    const site = { namespace: setting.controller, name: 'site' };
    await setting.client.create(Secrets, { metadata: site, data: { licence: 'bGljZW5jZQ==' } });
    holdFirst(setting, ({ verb, resource, name }) => verb === 'get' && resource === 'secrets' && name === 'site');
    await setting.labs.create(aLab());
    const held = await setting.proxy.nextHeld(PATIENCE_MS);
    setting.reconfigure(aConfig({ env: { COURSE: 'two' } }));
    held.release();
    await setting.untilPhase('running');
    expect(await environment(setting)).toEqual(['LICENCE']);
    await setting.spawn(aLab({ username: 'grace' }));
    expect(await environment(setting, aKey('grace'))).toEqual(['COURSE']);
  });

  it('a lab that runs keeps its address and its pod, and ends', async () => {
    const setting = await clusters.setting();
    const before = await setting.spawn(aLab());
    const pod = await setting.pod();
    setting.reconfigure(
      aConfig({ port: 9999, clusterDomain: 'other.example', sizes: [{ name: 'large', cpu: 2, memory: '2Gi' }] }),
    );
    expect(setting.state()).toEqual(before);
    expect((await setting.pod())?.metadata?.resourceVersion).toBe(pod?.metadata?.resourceVersion);
    await setting.labs.delete(aKey());
    expect(setting.labs.get(aKey())).toBeUndefined();
    expect(await setting.pod()).toBeUndefined();
  });

  it('a create that is under way counts for its user', async () => {
    const more = { limits: { labsPerUser: 1 } };
    const setting = await clusters.setting({ config: aConfig({}, { limits: { labsPerUser: 2 } }) });
    holdFirst(setting, ({ verb, resource }) => verb === 'create' && resource === 'secrets');
    const first = setting.labs.create(aLab());
    const held = await setting.proxy.nextHeld(PATIENCE_MS);
    setting.reconfigure(aConfig({}, more));
    await expect(setting.labs.create(aLab({ servername: 'two' }))).rejects.toMatchObject({
      code: 'insufficient_quota',
    });
    held.release();
    await first;
    await setting.untilPhase('running');
  });

  it('the policy of labs that share a namespace is there before the next pod', async () => {
    const setting = await clusters.setting({ namespaces: 'shared' });
    await setting.spawn(aLab());
    const policyPort = async () => {
      const { items } = await setting.client.list(NetworkPolicies, { namespace: setting.namespaceOf() });
      return items[0]?.spec?.ingress?.[0]?.ports?.[0]?.port;
    };
    expect(await policyPort()).toBe(8888);
    const isPolicy = ({ resource }: KubeRequest) => resource === 'networkpolicies';
    const before = setting.proxy.requests.calls(0, isPolicy).length;
    setting.proxy.onCall = (_n, request) => (isPolicy(request) ? { status: 500 } : 'pass');
    setting.reconfigure(aConfig({ port: 9999 }));
    await setting.labs.create(aLab({ username: 'grace' }));
    await until('it is tried', () => setting.proxy.requests.calls(0, isPolicy).length > before + 2);
    expect(await setting.pod(aKey('grace'))).toBeUndefined();
    setting.proxy.onCall = () => 'pass';
    await setting.untilPhase('running', aKey('grace'));
    expect(await policyPort()).toBe(9999);
  });
});
