import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { findUserNamespaces } from '../../../src/storage/kubernetes/checks/user-namespaces.ts';
import { aRepository, BuildSetting } from '../../reconcile/builds/setting.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const DEPLOY = new URL('../../../deploy/kubernetes/', import.meta.url);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster.close();
});

describe('the rights in deploy/kubernetes/builds', () => {
  it('cover, with those of the controller, every call of builds that succeed, fail, are cancelled and are begun again', async () => {
    const setting = await BuildSetting.create(cluster, {
      scripts: (url) => (url.endsWith('/failing') ? { lines: ['no'], exitCode: 1 } : undefined),
    });
    try {
      await setting.build();
      const failing = { repository: aRepository('ada/failing') };
      await setting.build(failing);
      await setting.build(failing);
      const { spec } = await setting.request({ repository: aRepository('ada/cancelled'), detached: true });
      await setting.builds.cancel(spec.id, 'ada');
      await setting.untilPhase(spec.id, 'cancelled');
      await setting.restart();
      const connection = tokenConnection({ server: setting.proxy.server, token: cluster.token });
      const client = new KubeClient({ connection });
      await findUserNamespaces(client, setting.namespace);
      await client.close();
      const everywhere = [...(await rulesOf('rbac.yaml', 'ClusterRole')), ...(await rulesOf(BUILDS, 'ClusterRole'))];
      const there = await rulesOf(BUILDS, 'Role');
      const refused = setting.proxy.requests.all.filter(
        (request) =>
          request.resource !== '' &&
          !isCovered(request, everywhere) &&
          !(request.namespace === setting.namespace && isCovered(request, there)),
      );
      expect([
        ...new Set(refused.map(({ verb, resource, subresource }) => `${verb} ${resource} ${subresource}`)),
      ]).toEqual([]);
      expect(setting.proxy.requests.all.map(({ subresource }) => subresource)).toContain('log');
    } finally {
      await setting.close();
    }
  });

  it('let nobody change or list Secrets', async () => {
    const rules = await rulesOf(BUILDS, 'Role');
    const verbs = rules.filter(({ resources }) => resources.includes('secrets')).flatMap((rule) => rule.verbs);
    expect(verbs).toEqual(['create', 'get', 'delete']);
  });
});

const BUILDS = 'builds/rbac.yaml';

function isCovered({ path, resource, name, subresource, verb }: KubeRequest, rules: readonly Rule[]): boolean {
  const group = path.startsWith('/apis/') ? (path.split('/')[2] ?? '') : '';
  const named = subresource === '' ? resource : `${resource}/${subresource}`;
  return rules.some(
    (rule) =>
      rule.apiGroups.includes(group) &&
      rule.resources.includes(named) &&
      rule.verbs.includes(verb) &&
      (rule.resourceNames?.includes(name) ?? true),
  );
}

async function rulesOf(file: string, kind: string): Promise<readonly Rule[]> {
  const documents = parseAllDocuments(await readFile(new URL(file, DEPLOY), 'utf8'));
  const roles = documents.map((document) => document.toJS() as { kind: string; rules?: Rule[] });
  return roles.find((role) => role.kind === kind)?.rules ?? [];
}
