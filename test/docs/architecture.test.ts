import { access, readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONTROLLER_LABEL, KIND_LABEL, LAB_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../src/domain/names.ts';
import { KEPT_SINCE_ANNOTATION, LAB_KIND, PERMANENT_ANNOTATION } from '../../src/domain/lab/object-names.ts';
import { LabCache } from '../../src/reconcile/labs/lab-cache.ts';
import { Manager } from '../../src/reconcile/manager.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { useCluster } from '../reconcile/support/controller.ts';
import { aKey, aLab } from '../reconcile/support/labs.ts';
import { until } from '../reconcile/support/until.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { IDLE_LABEL, idleNamespacesController } from './idle-namespaces.ts';

const DAY_MS = 24 * 60 * 60_000;
const logger = pino({ level: 'silent' });
const read = (file: string) => readFile(new URL(file, import.meta.url), 'utf8');

/** Runs the controller of the example on a client of its own until `halt` is called. */
function runExample(client: KubeClient, controller: string) {
  const cache = new LabCache({ client, controller, logger });
  const example = idleNamespacesController({ client, cache, logger });
  const halt = new AbortController();
  const working = new Manager({ logger }).addCache(cache).addController(example).run(halt.signal);
  return async () => {
    halt.abort();
    await working;
  };
}

describe('docs/architecture.md', () => {
  it('shows the example as it is compiled and tested', async () => {
    const blocks = [...(await read('../../docs/architecture.md')).matchAll(/^```ts\n(.*?)^```$/gms)];
    const example = await read('idle-namespaces.ts');
    expect(blocks.map(([, code]) => code)).toEqual([example]);
    expect(example.split('\n').length).toBeLessThan(100);
  });

  it('names files and folders that are there', async () => {
    const text = (await read('../../docs/architecture.md')).replace(/^```ts\n.*?^```$/gms, '');
    const paths = new Set(
      [...text.matchAll(/`((?:src|test|docs|deploy|sandbox|bench)\/[\w./-]*\w\/?)`/g)].map(([, path]) => path!),
    );
    expect(paths.size).toBeGreaterThan(20);
    for (const path of paths) await access(new URL(`../../${path}`, import.meta.url));
  });
});

describe('the controller idle-namespaces', () => {
  const clusters = useCluster();
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.close());

  const labelOf = async (client: KubeClient, name: string) =>
    (await client.get(Namespaces, { name }))?.metadata?.labels?.[IDLE_LABEL];

  /** The namespace of a lab that has ended so long ago. */
  async function keptNamespace(controller: string, slug: string, keptFor: number): Promise<string> {
    const name = cluster.uniqueName('idle');
    const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, [CONTROLLER_LABEL]: controller, [KIND_LABEL]: LAB_KIND };
    const annotations = { [KEPT_SINCE_ANNOTATION]: new Date(Date.now() - keptFor).toISOString() };
    await cluster.client.create(Namespaces, {
      metadata: { name, labels: { ...labels, [LAB_LABEL]: slug }, annotations },
    });
    return name;
  }

  it('labels a namespace that has been kept for a week, at the moment, and no other', async () => {
    const controller = cluster.uniqueName('example');
    const old = await keptNamespace(controller, 'ada', 8 * DAY_MS);
    const soon = await keptNamespace(controller, 'bob', 7 * DAY_MS - 1_500);
    const young = await keptNamespace(controller, 'eve', DAY_MS);
    const foreign = await keptNamespace(`${controller}-other`, 'ada', 8 * DAY_MS);
    const client = new KubeClient({ connection: cluster.connection() });
    const stop = runExample(client, controller);
    await until('the old one is labelled', async () => (await labelOf(cluster.client, old)) === 'true');
    await until('the other is labelled in its time', async () => (await labelOf(cluster.client, soon)) === 'true');
    expect(await labelOf(cluster.client, young)).toBeUndefined();
    expect(await labelOf(cluster.client, foreign)).toBeUndefined();
    await stop();
  });

  it('removes the label when the lab is back', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const name = setting.namespaceOf();
    const stop = runExample(setting.client, setting.controller);
    // As after eight days, and not collected meanwhile.
    const annotations = {
      [KEPT_SINCE_ANNOTATION]: new Date(Date.now() - 8 * DAY_MS).toISOString(),
      [PERMANENT_ANNOTATION]: 'true',
    };
    await setting.client.patch(Namespaces, { name }, { metadata: { annotations } });
    await until('it is labelled', async () => (await labelOf(setting.client, name)) === 'true');
    await setting.spawn(aLab());
    await until('the label is gone', async () => (await labelOf(setting.client, name)) === undefined);
    await stop();
  });
});
