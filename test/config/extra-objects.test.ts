import { describe, expect, it } from 'vitest';
import { type ConfigError, parseConfig } from '../../src/config/index.ts';

const HEAD = `baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab: { sizes: [{ name: small, cpu: 1, memory: 1Gi }], `;
const parse = (lab: string) => parseConfig(`${HEAD}${lab} }\n`);

function problemsOf(lab: string): string[] {
  try {
    parse(lab);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const map = (name: string, more = '') =>
  `extraObjects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: "${name}" }${more} }]`;
const AT = 'lab.extraObjects[0]';

describe('objects that each lab is to have', () => {
  it.each([
    map('settings', ', data: { user: "{username}", json: "{\\"a\\": 1}" }'),
    `namespaces: shared, ${map('settings-{user_server}')}`,
    `namespaces: shared, ${map('settings-{username}--{servername}')}`,
    `namespaces: shared, serviceAccount: { name: "for-{slug}" },
     extraObjects: [{ apiVersion: v1, kind: ServiceAccount, metadata: { name: "for-{slug}" } }]`,
    'extraObjects: [{ apiVersion: external-secrets.io/v1beta1, kind: ExternalSecret, metadata: { name: a, annotations: { a/b: c } }, spec: {} }]',
  ])('can be %s', (lab) => {
    expect(problemsOf(lab)).toEqual([]);
  });

  it.each([
    [
      map('lab'),
      `${AT}.metadata.name: expected another name: lab and what begins with lab- are names of Labwright's own objects`,
    ],
    [map('lab-files'), 'names of Labwright'],
    [`namespaces: shared, ${map('lab-{slug}-env')}`, 'names of Labwright'],
    [`namespaces: shared, podName: "nb-{slug}", ${map('nb-{slug}')}`, 'names of Labwright'],
    [`namespaces: shared, ${map('settings')}`, `${AT}.metadata.name: expected the user and the server in it`],
    [`namespaces: shared, ${map('settings-{username}')}`, 'expected the user and the server in it'],
    [map('settings-{unescaped_username}'), 'expected no {unescaped_username} here'],
    [map('settings', ', data: { a: "{nobody}" }'), `${AT}.data.a: {nobody} is not known`],
    [map('settings', ', status: {}'), `${AT}.status: expected none`],
    [map('settings').replace('name:', 'namespace: other, name:'), `${AT}.metadata.namespace: unknown key`],
    [
      map('settings').replace('name:', 'labels: { labwright.dev/kind: lab }, name:'),
      'a key that Labwright does not set itself',
    ],
    [map('settings').replace('ConfigMap', 'Pod'), `${AT}.kind: expected sidecars`],
    [
      map('settings').replace('ConfigMap', 'ClusterRole'),
      `${AT}.kind: expected a kind whose objects are in a namespace`,
    ],
    [map('settings').replace('ConfigMap', 'PersistentVolume'), 'lab.volumes[].persistentVolume'],
    [map('settings').replace('apiVersion: v1, ', ''), `${AT}.apiVersion: missing`],
    [
      `serviceAccount: { name: a }, ${map('a').replace('ConfigMap', 'ServiceAccount')}`,
      'lab.serviceAccount is made anyway',
    ],
    [
      'extraObjects: [{ apiVersion: apps/v1, kind: A, metadata: { name: a } }, { apiVersion: apps/v1, kind: A, metadata: { name: a } }]',
      'lab.extraObjects[1].metadata.name: expected another name: one of this kind has it already',
    ],
  ])('cannot be %s', (lab, problem) => {
    expect(problemsOf(lab).join('\n')).toContain(problem);
  });

  it('are looked at in overlays, too', () => {
    const text = `${HEAD}namespaces: shared }\noverlays: [{ name: staff, match: { groups: [staff] }, lab: { ${map('settings')} } }]\n`;
    expect(() => parseConfig(text)).toThrow('expected the user and the server in it');
  });
});
