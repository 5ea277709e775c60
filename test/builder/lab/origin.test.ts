import { describe, expect, it } from 'vitest';
import { originOf, parseField } from '../../../src/builder/lab/origin.ts';
import { buildWith, configWithLab } from '../cases.ts';

const config = configWithLab(`
sizes: [{ name: small, cpu: 1, memory: 1Gi }, { name: large, cpu: 2, memory: 2Gi }]
volumes: [{ name: data, nfs: { server: nfs, path: /data } }, { name: home, persistentVolumeClaim: { storage: 1Gi } }]
volumeMounts: [{ name: data, mountPath: /data }]
home: { volume: home }
initContainers: [{ name: prepare, image: example.org/prepare:1 }]
networkPolicy:
  hub: [{ podSelector: {} }, { ipBlock: { cidr: 10.0.0.0/8 } }]
  proxy: [{ podSelector: { matchLabels: { a: b } } }]
  ingress: [{ ports: [{ port: 9090 }] }]
  egress: [{ to: [{ podSelector: {} }] }]
`);
const objects = buildWith(config);

describe('the key that a field of an object comes from', () => {
  it.each([
    ['spec.tolerations[0].effect', 'lab.tolerations[0].effect'],
    ['spec.priorityClassName', 'lab.priorityClassName'],
    ['spec.containers[0].resources.requests', 'lab.sizes[1]'],
    ['spec.containers[0].volumeMounts[0].name', 'lab.volumeMounts[0].name'],
    ['spec.containers[0].volumeMounts[7].name', 'lab'],
    ['spec.initContainers[0].image', 'lab.initContainers[0].image'],
    ['spec.volumes[0].nfs.path', 'lab.volumes[0].nfs.path'],
    ['spec.volumes[9].name', 'lab'],
    ['metadata.labels', 'lab.extraLabels'],
  ])('of a pod: %s', (field, key) => {
    expect(originOf(config.lab, objects.pod, parseField(field), 'large')).toBe(key);
  });

  it.each([
    ['spec.ingress[0].from[1].ipBlock.cidr', 'lab.networkPolicy.hub[1].ipBlock.cidr'],
    ['spec.ingress[0].from[2].podSelector', 'lab.networkPolicy.proxy[0].podSelector'],
    ['spec.ingress[1].ports[0].port', 'lab.networkPolicy.ingress[0].ports[0].port'],
    ['spec.egress[0].to[0].podSelector', 'lab.networkPolicy.hub[0].podSelector'],
    ['spec.egress[3].to[0].podSelector', 'lab.networkPolicy.egress[0].to[0].podSelector'],
    ['spec.egress[2].to[0].ipBlock.except[1]', 'lab.networkPolicy.blocked'],
  ])('of a network policy: %s', (field, key) => {
    expect(originOf(config.lab, objects.networkPolicy!, parseField(field), 'large')).toBe(key);
  });

  it('of a claim', () => {
    const [claim] = objects.volumeClaims;
    expect(originOf(config.lab, claim!, parseField('spec.resources[storage]'), 'large')).toBe(
      'lab.volumes[1].persistentVolumeClaim',
    );
  });
});
