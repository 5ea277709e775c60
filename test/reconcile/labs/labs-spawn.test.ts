import type { KubernetesObject } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import type { LabState } from '../../../src/domain/lab/lab.ts';
import { NetworkPolicies, Pods, type Resource, Secrets, Services } from '../../../src/storage/kubernetes/resources.ts';
import { useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab, PLANTED } from '../support/labs.ts';

const clusters = useCluster();

describe('a spawn', () => {
  it('comes up, and is reported running with its internal URL before its stream is complete', async () => {
    const setting = await clusters.setting();
    await setting.labs.create(aLab());
    let atTheEnd: LabState | undefined;
    const events = [];
    for await (const event of setting.labs.events(aKey(), undefined, AbortSignal.timeout(15_000)) ?? []) {
      if (event.type === 'complete') atTheEnd = setting.labs.get(aKey());
      events.push(event);
    }
    expect(events.map(({ type }) => type).filter((type) => type !== 'info')).toEqual(['complete']);
    expect(atTheEnd).toMatchObject({
      status: 'running',
      phase: 'running',
      internalUrl: `http://${setting.names().service}.${setting.namespaceOf()}.svc.cluster.local:8888/user/ada/`,
    });
    expect(setting.labs.runningUsers()).toEqual(['ada']);
  });

  it('writes the progress as whole numbers that never go back', async () => {
    const setting = await clusters.setting();
    await setting.labs.create(aLab());
    const progress = (await setting.events()).flatMap((event) => event.progress ?? []);
    expect(progress.length).toBeGreaterThan(0);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.every((each) => Number.isInteger(each) && each >= 1 && each <= 100)).toBe(true);
  });

  it('of a named server stands beside the default one', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.spawn(aLab({ servername: 'second' }));
    expect(setting.labs.list()).toHaveLength(2);
    expect(setting.labs.runningUsers()).toEqual(['ada']);
    await setting.labs.delete(aKey('ada', 'second'));
    expect(setting.state().status).toBe('running');
  });

  it('gives the environment and the token to the lab, in Secrets', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const secret = async (name: string) =>
      (await setting.client.get(Secrets, { namespace: setting.namespaceOf(), name }))?.data ?? {};
    const text = (base64: string | undefined) => Buffer.from(base64 ?? '', 'base64').toString();
    expect(text((await secret(setting.names().envSecret))['JUPYTERHUB_API_TOKEN'])).toBe(PLANTED.env);
    expect(text((await secret(setting.names().secret))['token'])).toBe(PLANTED.token);
    const pod = JSON.stringify(await setting.pod());
    expect(pod).not.toContain(PLANTED.env);
    expect(pod).not.toContain(PLANTED.token);
  });

  it.each(['serviceIp', 'podIp'] as const)('can be reached by %s', async (internalUrl) => {
    const setting = await clusters.setting({ config: aConfig({ internalUrl }) });
    const state = await setting.spawn(aLab());
    const service = await setting.client.get(Services, setting.podRef());
    const address = { serviceIp: service?.spec?.clusterIP, podIp: (await setting.pod())?.status?.podIP }[internalUrl];
    expect(state.internalUrl).toBe(`http://${address}:8888/user/ada/`);
  });
});

describe('two creates', () => {
  it('at once: one is accepted, the other is told that a spawn is in progress', async () => {
    const setting = await clusters.setting();
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => setting.labs.create(aLab())));
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused).toHaveLength(3);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'operation_in_progress', status: 409 });
    await setting.untilPhase('running');
    expect((await setting.client.list(Pods, { namespace: setting.namespaceOf() })).items).toHaveLength(1);
  });

  it('one after the other: a lab that runs exists', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({ code: 'lab_exists', status: 409 });
    expect(setting.state().status).toBe('running');
  });
});

describe('a namespace kept from before', () => {
  it('is used again, with a new pod', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab' });
    await setting.spawn(aLab());
    const before = [await setting.namespace(), await setting.pod()];
    await setting.labs.delete(aKey());
    expect(await setting.pod()).toBeUndefined();
    expect(await setting.secretNames()).toEqual([]);
    await setting.spawn(aLab());
    const after = [await setting.namespace(), await setting.pod()];
    expect(after[0]?.metadata?.uid).toBe(before[0]?.metadata?.uid);
    expect(after[1]?.metadata?.uid).not.toBe(before[1]?.metadata?.uid);
  });

  it('gets its objects replaced when the configuration has changed', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab' });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await setting.restart({ config: aConfig({ networkPolicy: { internet: false }, files: { '/etc/motd': 'hello' } }) });
    const policy = () => setting.client.get(NetworkPolicies, { namespace: setting.namespaceOf(), name: 'lab' });
    const before = await policy();
    await setting.spawn(aLab());
    expect((await policy())?.spec).not.toEqual(before?.spec);
    await setting.labs.delete(aKey());
    const calls = async () => {
      const since = performance.now();
      await setting.spawn(aLab());
      return setting.proxy.requests.calls(since).length;
    };
    expect(await calls()).toBeLessThanOrEqual(7);
  });

  it.each<{ kind: string; resource: Resource<KubernetesObject> }>([
    { kind: 'NetworkPolicy', resource: NetworkPolicies },
    { kind: 'Service', resource: Services },
  ])('whose $kind somebody has removed gets it back', async ({ resource }) => {
    const setting = await clusters.setting({ namespaces: 'perLab' });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const ref = { namespace: setting.namespaceOf(), name: 'lab' };
    await setting.client.delete(resource, ref);
    await setting.spawn(aLab());
    expect(await setting.client.get(resource, ref)).toBeDefined();
  });

  it('and still terminating is waited for, inside the same spawn', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab', config: aConfig({ namespaceRetention: 0 }) });
    const hold = { metadata: { finalizers: ['labwright.dev/test'] } };
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: 'lab' };
    await setting.client.patch(Services, ref, hold);
    const first = await setting.namespace();
    await setting.labs.delete(aKey());
    await setting.labs.create(aLab());
    await setting.untilPhase('waiting_for_namespace');
    await setting.client.patch(Services, ref, { metadata: { finalizers: null } });
    await setting.untilPhase('running');
    expect((await setting.namespace())?.metadata?.uid).not.toBe(first?.metadata?.uid);
    const messages = (await setting.events()).map(({ message }) => message);
    expect(messages).toContain('Waiting for the namespace of an earlier lab to go');
  });
});
