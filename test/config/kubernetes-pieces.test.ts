import { describe, expect, it } from 'vitest';
import { ConfigError, parseConfig } from '../../src/config/index.ts';
import type { KubernetesType } from '../../src/domain/kubernetes/check.ts';
import { WRONG } from '../domain/kubernetes/pieces.ts';

/** Where a configuration takes pieces of a type. */
const KEYS: Partial<Record<KubernetesType, (piece: unknown) => { lab?: object; pod?: object; at: string }>> = {
  Toleration: (piece) => ({ lab: { tolerations: [piece] }, at: 'lab.tolerations[0]' }),
  Affinity: (piece) => ({ lab: { affinity: piece }, at: 'lab.affinity' }),
  TopologySpreadConstraint: (piece) => ({
    lab: { topologySpreadConstraints: [piece] },
    at: 'lab.topologySpreadConstraints[0]',
  }),
  NetworkPolicyPeer: (piece) => ({ lab: { networkPolicy: { hub: [piece] } }, at: 'lab.networkPolicy.hub[0]' }),
  NetworkPolicyPort: (piece) => ({
    lab: { networkPolicy: { egress: [{ ports: [piece] }] } },
    at: 'lab.networkPolicy.egress[0].ports[0]',
  }),
  Volume: (piece) => ({ pod: { volumes: [piece] }, at: 'builds.pod.volumes[0]' }),
  Container: (piece) => ({ pod: { sidecars: [piece] }, at: 'builds.pod.sidecars[0]' }),
};

function problemsOf(lab: object, pod: object = {}): string[] {
  const config = {
    baseUrl: 'https://hub.example.org',
    auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
    images: { list: [{ reference: 'example.org/lab:1' }] },
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '3Gi' }], ...lab },
    builds: { registry: { host: 'registry.example.org' }, builder: { image: 'registry.example.org/builder:1' }, pod },
  };
  try {
    parseConfig(JSON.stringify(config));
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

describe('a piece of Kubernetes in a configuration', () => {
  it.each(WRONG.filter(([type]) => type in KEYS))('is refused at its key where it is wrong: %s %j', (type, piece) => {
    const { lab = {}, pod, at } = KEYS[type]!(piece);
    const problems = problemsOf(lab, pod);
    expect(problems).not.toEqual([]);
    expect(problems.filter((problem) => !problem.startsWith(at))).toEqual([]);
  });

  it.each([
    [
      { tolerations: [{ key: 'gpu', effect: 'NoSchedule', tolerationSeconds: 60 }] },
      'lab.tolerations[0].effect: expected NoExecute where tolerationSeconds is set',
    ],
    [{ tolerations: [{ kee: 'gpu' }] }, 'lab.tolerations[0].kee: unknown key'],
    [{ tolerations: [{ key: 1 }] }, 'lab.tolerations[0].key: expected text'],
    [
      { topologySpreadConstraints: [{ topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }] },
      'lab.topologySpreadConstraints[0].maxSkew: missing: expected a whole number',
    ],
    [{ nodeSelector: { 'a..b/zone': 'x' } }, 'lab.nodeSelector["a..b/zone"]: expected a name such as example.com/name'],
    [
      { sizes: [{ name: 's', cpu: 1, memory: '1Gi', extendedResources: { 'requests.nvidia.com/gpu': 1 } }] },
      'lab.sizes[0].extendedResources["requests.nvidia.com/gpu"]: expected the name of an extended resource, such as nvidia.com/gpu',
    ],
    [
      { secrets: [{ secretName: 'a', secretKey: '..key' }] },
      'lab.secrets[0].secretKey: expected a key that does not begin with ..',
    ],
    [{ files: { '/opt/large': 'x'.repeat(1_100_000) } }, 'lab.files: expected no more than 1000 KiB in all'],
    [
      {
        topologySpreadConstraints: ['zone', 'zone'].map((topologyKey) => ({
          ...{ maxSkew: 1, topologyKey, whenUnsatisfiable: 'DoNotSchedule' },
        })),
      },
      'lab.topologySpreadConstraints[1]: expected another topologyKey or whenUnsatisfiable',
    ],
  ])('is told in a sentence: %j', (lab, problem) => {
    expect(problemsOf(lab).join('\n')).toContain(problem);
  });
});
