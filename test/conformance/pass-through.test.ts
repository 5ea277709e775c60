import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkKubernetes, type KubernetesType } from '../../src/domain/kubernetes/check.ts';
import { aPod, useApi } from './api.ts';
import { PIECES, WRONG } from '../domain/kubernetes/pieces.ts';

const api = useApi();
let path = '';

beforeAll(async () => {
  ({ path } = await api.namespace());
});

/** What the cluster says of a piece in its place, and what we say of it: the fields that are wrong. */
async function judge(type: KubernetesType, value: unknown): Promise<{ ours: string[]; theirs: string }> {
  const { status, body } = await (type.startsWith('NetworkPolicy')
    ? api.post(`${policies()}?dryRun=All`, policyWith(type, value))
    : api.post(`${path}/pods?dryRun=All&fieldValidation=Strict`, aPod('piece', specWith(type, value))));
  // The sandbox takes unknown fields, as a cluster does that is not asked to be strict.
  const unknown = api.cluster.kind === 'sandbox' ? 'ignore' : 'refuse';
  const ours = checkKubernetes(type, value, unknown).map((fault) => `${fault.path.join('.')}: ${fault.message}`);
  return { ours, theirs: status === 201 ? '' : body.message };
}

function policies(): string {
  return `/apis/networking.k8s.io/v1${path.replace(/^\/api\/v1/, '')}/networkpolicies`;
}

function policyWith(type: KubernetesType, value: unknown): object {
  const rule = type === 'NetworkPolicyPort' ? { ports: [value] } : { to: [value] };
  return { metadata: { name: 'piece' }, spec: { podSelector: {}, policyTypes: ['Egress'], egress: [rule] } };
}

/** A pod with the piece where a pod has such a thing. */
function specWith(type: KubernetesType, value: unknown): object {
  switch (type) {
    case 'Toleration':
      return { tolerations: [value] };
    case 'Affinity':
      return { affinity: value };
    case 'TopologySpreadConstraint':
      return { topologySpreadConstraints: [value] };
    case 'Volume':
      return { volumes: [value] };
    case 'Container':
      return {
        containers: [{ name: 'notebook', image: 'registry.example/lab:1' }, value],
        volumes: [{ name: 'cache', emptyDir: {} }],
      };
    case 'PodSecurityContext':
      return { securityContext: value };
    default:
      throw new Error(`no place for ${type}`);
  }
}

describe('a piece of Kubernetes that a configuration hands on', () => {
  it.each(WRONG)('is refused by us and by the cluster: %s %j', async (type, value) => {
    const { ours, theirs } = await judge(type, value);
    expect(ours).not.toEqual([]);
    expect(theirs).not.toBe('');
  });

  it.each(Object.entries(PIECES))('%s is refused by us exactly where it is by the cluster', async (type, piece) => {
    await fc.assert(
      fc.asyncProperty(piece, async (value) => {
        const { ours, theirs } = await judge(type as KubernetesType, value);
        expect({ refused: ours.length > 0, ours, theirs }).toEqual({ refused: theirs !== '', ours, theirs });
      }),
      { numRuns: 150 },
    );
  });
});
