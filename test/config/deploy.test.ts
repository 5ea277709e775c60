import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/index.ts';
import { LEASE_NAME } from '../../src/reconcile/leader-lease.ts';
import { GRACE_MS } from '../../src/reconcile/manager.ts';

const FOLDER = new URL('../../deploy/kubernetes/', import.meta.url);

interface Rule {
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface Deployment {
  readonly spec: {
    readonly replicas: number;
    readonly strategy: object;
    readonly selector: object;
    readonly maxUnavailable: number;
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly topologySpreadConstraints: readonly { readonly labelSelector: object }[];
        readonly containers: readonly {
          readonly env: readonly { readonly name: string }[];
          readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
          readonly readinessProbe: { readonly periodSeconds: number };
        }[];
      };
    };
  };
}

async function read(name: string): Promise<string> {
  return readFile(new URL(name, FOLDER), 'utf8');
}

async function rulesOf(kind: 'ClusterRole' | 'Role'): Promise<readonly Rule[]> {
  const documents = parseAllDocuments(await read('rbac.yaml')).map((document) => document.toJS() as never);
  const found = documents.find((document: { kind: string }) => document.kind === kind);
  return (found as unknown as { rules: readonly Rule[] }).rules;
}

describe('the manifests of deploy/kubernetes', () => {
  it('come with a configuration that can be used', async () => {
    const config = await loadConfig(new URL('config.yaml', FOLDER).pathname);
    const deployment = parse(await read('deployment.yaml')) as {
      spec: { template: { spec: { containers: { ports: { containerPort: number }[] }[] } } };
    };
    expect(deployment.spec.template.spec.containers[0]?.ports[0]?.containerPort).toBe(config.listen.port);
  });

  it('name every file that is there', async () => {
    const { resources } = parse(await read('kustomization.yaml')) as { resources: string[] };
    for (const resource of resources) expect(parseAllDocuments(await read(resource))).not.toHaveLength(0);
  });

  it('let the controller read Secrets in its own namespace only', async () => {
    // The answer to a change shows what was changed, or not.
    const reads = ['get', 'list', 'watch', 'update', 'patch', '*'];
    const wide = (await rulesOf('ClusterRole')).filter(({ resources }) =>
      resources.some((each) => /^(secrets|\*)$/.test(each)),
    );
    const reading = wide.filter(({ verbs }) => verbs.some((verb) => reads.includes(verb)));
    // But for the one in a lab that holds the token which is renewed: the controller has made all that is in it.
    expect(reading.map(({ resourceNames, verbs }) => [resourceNames, verbs])).toEqual([[['lab-secrets'], ['patch']]]);
    expect((await rulesOf('Role')).flatMap(({ verbs }) => verbs)).toContain('get');
  });

  it('let the controller hold the one Lease that it elects its leader by', async () => {
    const leases = (await rulesOf('Role')).filter(({ resources }) => resources.includes('leases'));
    expect(leases.map(({ resourceNames, verbs }) => [resourceNames, verbs])).toEqual([
      [undefined, ['create']],
      [[LEASE_NAME], ['get', 'list', 'watch', 'patch']],
    ]);
  });

  it('run several replicas, of which one is always ready to answer', async () => {
    const deployment = parse(await read('deployment.yaml')) as Deployment;
    const budget = parse(await read('disruption-budget.yaml')) as Deployment;
    const { replicas, strategy, selector, template } = deployment.spec;
    expect(replicas).toBeGreaterThan(1);
    expect(strategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
    expect(budget.spec.selector).toEqual(selector);
    expect(budget.spec.maxUnavailable).toBeLessThan(replicas);
    const { containers, terminationGracePeriodSeconds, topologySpreadConstraints } = template.spec;
    expect(topologySpreadConstraints[0]?.labelSelector).toEqual(selector);
    const [container] = containers;
    const pause = container?.lifecycle.preStop.sleep.seconds ?? 0;
    expect(pause).toBeGreaterThan(container?.readinessProbe.periodSeconds ?? 0);
    // It would be killed in the middle of stopping otherwise.
    expect(terminationGracePeriodSeconds * 1000).toBeGreaterThan(pause * 1000 + GRACE_MS);
    expect(container?.env.map(({ name }) => name)).toContain('POD_NAME');
  });
});
