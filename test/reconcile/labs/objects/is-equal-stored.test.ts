import type { KubernetesObject } from '@kubernetes/client-node';
import { expect, it, onTestFinished } from 'vitest';
import { LabBuilder } from '../../../../src/builder/lab/lab-builder.ts';
import { isEqualWhereGiven } from '../../../../src/reconcile/labs/objects/is-equal.ts';
import * as resources from '../../../../src/storage/kubernetes/resources.ts';
import { aLabInput, exampleConfig } from '../../../builder/cases.ts';
import { startCluster } from '../../../support/cluster.ts';

it.each(['minimal', 'full'] as const)(
  'the objects of the %s example are as wanted once they are stored',
  async (name) => {
    const cluster = await startCluster();
    onTestFinished(() => cluster.close());
    const config = await exampleConfig(name);
    const namespace = cluster.uniqueName('equal');
    const builder = new LabBuilder(config, 'equal');
    const { limitRange, resourceQuota, networkPolicy, service, serviceAccount, files } = builder.buildLab(
      aLabInput(config),
    );
    await cluster.client.create(resources.Namespaces, { metadata: { name: namespace } });
    onTestFinished(async () => void (await cluster.client.delete(resources.Namespaces, { name: namespace })));
    const stored = async <T extends KubernetesObject>(resource: resources.Resource<T>, object: T | undefined) => {
      if (object === undefined) return;
      const wanted = { ...object, metadata: { ...object.metadata, namespace } };
      await cluster.client.create(resource, wanted);
      const found = await cluster.client.get(resource, { namespace, name: object.metadata?.name ?? '' });
      expect(isEqualWhereGiven(wanted, found), resource.kind).toBe(true);
    };
    await stored(resources.LimitRanges, limitRange);
    await stored(resources.ResourceQuotas, resourceQuota);
    await stored(resources.NetworkPolicies, networkPolicy);
    await stored(resources.Services, service);
    await stored(resources.ServiceAccounts, serviceAccount);
    await stored(resources.ConfigMaps, files);
  },
);
