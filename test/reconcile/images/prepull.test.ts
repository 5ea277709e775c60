import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ConfigMaps, Namespaces, Nodes, Pods } from '../../../src/storage/kubernetes/resources.ts';
import { PullProblem } from '../../../sandbox/index.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { images, PrepullSetting, type PrepullSettingOptions } from './setting.ts';

let cluster: TestCluster;
const open: PrepullSetting[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const setting of open.splice(0)) await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

async function create(options: PrepullSettingOptions): Promise<PrepullSetting> {
  const setting = await PrepullSetting.create(cluster, options);
  open.push(setting);
  return setting;
}

describe('wanted images', () => {
  it('are pulled to every node, within the bounds, and nothing is left but what is remembered', async () => {
    const setting = await create({ nodes: 6, wanted: images(7), prepull: { pullsAtOnce: 2, perRegistry: 2 } });
    setting.start();
    await setting.untilWarm([0, 1, 2, 3, 4, 5]);
    expect(setting.nodes.mostAtOnce).toBeLessThanOrEqual(2);
    expect(setting.nodes.pulls).toBe(42);
    const { nodes, missing } = setting.view.of(images(1)[0]?.digest ?? '') ?? {};
    expect([nodes?.length, missing]).toEqual([6, []]);
  });

  it('are asked for with two calls for five images on a node, and the record', async () => {
    const setting = await create({ nodes: 4, wanted: images(5) });
    setting.start();
    await setting.untilWarm([0, 1, 2, 3]);
    const writes = setting.proxy.requests.all.filter(({ verb }) => !['get', 'list', 'watch'].includes(verb));
    const count = (resource: string) => writes.filter((each) => each.resource === resource).length;
    expect(count('pods')).toBe(8);
    // Several nodes that come to their end together are written together.
    expect(count('configmaps')).toBeLessThanOrEqual(4);
  });

  it('come to a node that is new, and to all nodes when they are wanted later', async () => {
    const setting = await create({ nodes: 1, wanted: images(2) });
    setting.start();
    await setting.untilWarm([0]);
    await setting.nodes.add(setting.own({ name: 'new' }));
    await setting.untilWarm([0, 'new']);
    setting.wanted.set(images(4));
    await setting.untilWarm([0, 'new']);
  });

  it('are not pulled where labs cannot run, and the view says why', async () => {
    const taints = [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }];
    const nodes = [{ name: 'plain' }, { name: 'tainted', taints }, { name: 'cordoned' }];
    const setting = await create({ nodes, wanted: images(2) });
    await cluster.client.patch(Nodes, { name: setting.node('cordoned') }, { spec: { unschedulable: true } });
    setting.start();
    await setting.untilWarm(['plain']);
    const own = setting.view.nodes().filter(({ name }) => name.startsWith(setting.namespace));
    expect(own.map(({ name, eligible, comment }) => [name, eligible, comment])).toEqual([
      [setting.node('cordoned'), false, 'Node is unschedulable'],
      [setting.node('plain'), true, null],
      [setting.node('tainted'), false, 'Node is tainted (NoSchedule, gpu = yes)'],
    ]);
    expect(setting.nodes.images(setting.node('tainted'))).toEqual([]);
    await cluster.client.patch(Nodes, { name: setting.node('cordoned') }, { spec: { unschedulable: false } });
    await setting.untilWarm(['plain', 'cordoned']);
  });

  it('are pulled to tainted nodes that labs tolerate, also after the configuration was changed to that', async () => {
    const nodes = [{ name: 'tainted', taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] }];
    const setting = await create({ nodes, wanted: images(1) });
    const parts = setting.start();
    await until('the node is known', () => setting.view.nodes().some(({ comment }) => comment?.includes('gpu')));
    parts.use(setting.config({ tolerations: [{ key: 'gpu', operator: 'Exists' }] }));
    await setting.untilWarm(['tainted']);
  });

  it('are not pulled where they are already', async () => {
    const wanted = images(3);
    const setting = await create({ nodes: 2, wanted });
    const references = wanted.map(({ reference }) => reference);
    await setting.nodes.give(setting.node(0), references);
    await setting.nodes.give(setting.node(1), references.slice(1));
    setting.start();
    await setting.untilWarm([0, 1]);
    expect(setting.nodes.pulls).toBe(1);
  });

  it('that the kubelet has removed are pulled again', async () => {
    const wanted = images(2);
    const setting = await create({ nodes: 1, wanted });
    setting.start();
    await setting.untilWarm([0]);
    await until('the node lists them', async () => {
      const node = await cluster.client.get(Nodes, { name: setting.node(0) });
      return node?.status?.images?.length === 2;
    });
    await until('the view shows them', () => setting.view.of(wanted[0]?.digest ?? '')?.missing.length === 0);
    // What was remembered goes with the next write at the latest; the node's own list counts from when it has shown the image.
    setting.wanted.set(images(3));
    await setting.untilWarm([0]);
    await setting.nodes.take(setting.node(0), wanted[0]?.reference ?? '');
    await setting.untilWarm([0]);
    expect(setting.nodes.pulls).toBe(4);
  });

  it('are pulled once to a node whose list is too short to show them', async () => {
    const setting = await create({ nodes: [{ name: '0', maxImages: 2 }], wanted: images(8) });
    setting.start();
    await setting.untilWarm([0]);
    setting.wanted.set([...images(8)]);
    await setting.stop();
    // Another process finds it written down.
    setting.start();
    await until('the new process knows the nodes', () => setting.view.isKnown);
    expect(setting.view.of(images(1)[0]?.digest ?? '')?.missing).toEqual([]);
    expect(setting.nodes.pulls).toBe(8);
  });
});

describe('an image that cannot be pulled', () => {
  const [broken] = images(1);
  const failing: PrepullSettingOptions['world'] = {
    pull: (image) => {
      if (image === broken?.reference) return Promise.reject(new PullProblem(`${image}: not found`));
      return Promise.resolve();
    },
  };

  it('holds up no other, is reported with its reason, and is never taken for done', async () => {
    const setting = await create({ nodes: 2, wanted: images(4), world: failing });
    setting.start();
    await until('the others are there', () =>
      [0, 1].every((node) => setting.nodes.images(setting.node(node)).length === 3),
    );
    await setting.untilNoPods();
    await until('the failure is known', () => setting.view.of(broken?.digest ?? '')?.failure !== undefined);
    const { nodes, missing, failure } = setting.view.of(broken?.digest ?? '') ?? {};
    expect([nodes, missing]).toEqual([[], [setting.node(0), setting.node(1)]]);
    expect(failure).toEqual({ reason: 'ErrImagePull', message: `${broken?.reference ?? ''}: not found` });
    const [first] = setting.view.nodes().filter(({ name }) => name === setting.node(0));
    expect(first?.failures).toMatchObject([{ count: 1, reason: 'ErrImagePull' }]);
    const { at = 0, nextAt = 0 } = first?.failures[0] ?? {};
    expect(nextAt - at).toBeGreaterThanOrEqual(15_000);
  });

  it('is tried again when its time has come', async () => {
    let isThere = false;
    const pull = (image: string) =>
      isThere ? Promise.resolve() : Promise.reject(new PullProblem(`${image}: not found`));
    const setting = await create({ nodes: 1, wanted: images(1), world: { pull } });
    setting.start();
    await until('the failure is known', () => setting.view.of(broken?.digest ?? '')?.failure !== undefined);
    await setting.untilNoPods();
    isThere = true;
    await setting.stop();
    // As if its time had passed meanwhile.
    const map = await setting.record();
    const text = map?.data?.['record.json'] ?? '{}';
    const record = JSON.parse(text) as { failures: Record<string, number[][]> };
    for (const [entry] of Object.values(record.failures)) entry?.splice(5, 1, 0);
    const ref = { namespace: setting.namespace, name: 'labwright-prepull' };
    await cluster.client.patch(ConfigMaps, ref, { data: { 'record.json': JSON.stringify(record) } });
    setting.start();
    await setting.untilWarm([0]);
    await until('the failure is forgotten', () => setting.view.nodes().every(({ failures }) => failures.length === 0));
  });

  it('has a pod that ends when the time of all its images together is over', async () => {
    const setting = await create({
      nodes: 1,
      wanted: images(2),
      prepull: { timeout: '1m' },
      world: {
        pull: (image, _node, signal) =>
          image === broken?.reference ? Promise.resolve() : wait(2 ** 30, undefined, { signal }),
      },
    });
    setting.start();
    const [pod] = await until('the pod is there', async () => {
      const all = await setting.pods();
      return all.length > 0 && all;
    });
    expect(pod?.spec?.activeDeadlineSeconds).toBe(120);
    expect(pod?.spec?.containers).toHaveLength(2);
  });
});

describe('a node', () => {
  it('that is lost in the middle of a pull gives its place to others', async () => {
    const setting = await create({ nodes: 2, wanted: images(1), prepull: { pullsAtOnce: 1 } });
    setting.nodes.silence(setting.node(0));
    setting.start();
    await until('a pod for it is there', async () => (await setting.pods()).length === 1);
    await setting.nodes.setCondition(setting.node(0), 'Ready', false);
    await setting.untilWarm([1]);
  });

  it('short of disk gets nothing more until that is over', async () => {
    const setting = await create({ nodes: 1, wanted: images(1) });
    await setting.nodes.setCondition(setting.node(0), 'DiskPressure', true);
    setting.start();
    await until('it is known', () =>
      setting.view.nodes().some(({ comment }) => comment === 'Node is short of disk space'),
    );
    expect(setting.nodes.pulls).toBe(0);
    await setting.nodes.setCondition(setting.node(0), 'DiskPressure', false);
    await setting.untilWarm([0]);
  });

  it('on which no pod may be started is left alone for a while, and the reason is known', async () => {
    const setting = await create({ nodes: 1, wanted: images(1) });
    const refusal = { status: 403, reason: 'Forbidden', message: 'exceeded quota' } as const;
    setting.proxy.onCall = (_n, { verb, resource }) => (verb === 'create' && resource === 'pods' ? refusal : 'pass');
    setting.start();
    const failures = () => setting.view.nodes().find(({ name }) => name === setting.node(0))?.failures ?? [];
    await until('the refusal is known', () => failures().length > 0);
    expect(failures()).toMatchObject([{ digest: '', reason: 'Forbidden', count: 1 }]);
  });
});

describe('without the right to see nodes', () => {
  it('it is said once, and the rest of the program is ready', async () => {
    const setting = await create({ nodes: 1, wanted: images(1) });
    setting.proxy.onCall = (_n, { resource }) => (resource === 'nodes' ? { status: 403, reason: 'Forbidden' } : 'pass');
    const parts = setting.start();
    const said = () => setting.log.filter((line) => line.includes('may not see nodes') && line.includes('"level":40'));
    await until('it is said', () => said().length > 0);
    const [health] = parts.caches.map((cache) => cache.health());
    expect(health).toMatchObject({ ready: true });
    expect(health?.notice).toContain('deploy/kubernetes-prepull');
    setting.proxy.onCall = () => 'pass';
    await setting.untilWarm([0]);
    expect(said()).toHaveLength(1);
  });
});

describe('a puller pod', () => {
  it('passes Pod Security restricted, and belongs to what the pod of the controller belongs to', async () => {
    const setting = await create({
      nodes: 1,
      wanted: images(1),
      podName: 'labwright-0',
      lab: { pullSecret: 'registry' },
    });
    setting.nodes.silence(setting.node(0));
    const namespace = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
    // Something that is there, or the garbage collector takes all of it: in a cluster it is a ReplicaSet.
    const made = await cluster.client.create(ConfigMaps, { metadata: { name: 'owner', namespace: setting.namespace } });
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: made.metadata?.uid ?? '' };
    await cluster.client.create(Pods, {
      metadata: {
        ...{ name: 'labwright-0', namespace: setting.namespace },
        ownerReferences: [{ ...owner, controller: true }],
      },
      spec: { containers: [{ name: 'labwright', image: 'labwright' }], automountServiceAccountToken: false },
    });
    await cluster.client.patch(Namespaces, { name: setting.namespace }, namespace);
    setting.start();
    const pod = await until('the pod is there', async () =>
      (await setting.pods()).find(({ metadata }) => metadata?.name?.startsWith('prepull-')),
    );
    expect(pod.metadata?.ownerReferences).toEqual([owner]);
    expect(pod.spec?.automountServiceAccountToken).toBe(false);
    expect(pod.spec?.imagePullSecrets).toEqual([{ name: 'registry' }]);
    setting.wanted.set([]);
    await until('it is removed when nobody wants its image', async () => (await setting.pods()).length === 1);
  });

  it('is removed at the next start when images are not pulled ahead any more', async () => {
    const setting = await create({ nodes: 1, wanted: images(1) });
    setting.nodes.silence(setting.node(0));
    setting.start();
    await until('the pod is there', async () => (await setting.pods()).length === 1);
    await setting.stop();
    expect(await setting.pods()).toHaveLength(1);
    setting.start({ off: true });
    await setting.untilNoPods();
  });
});
