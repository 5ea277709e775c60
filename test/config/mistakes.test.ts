import { describe, expect, it } from 'vitest';
import type { ConfigError } from '../../src/config/index.ts';
import { parseConfig } from '../../src/config/index.ts';

const HEAD = `baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }] }
`;
const SIZES = 'sizes: [{ name: small, cpu: 1, memory: 1Gi }]';

function problemsOf(text: string): string[] {
  try {
    parseConfig(text);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(
      ({ path, line, message }) => `${path === '' ? `line ${String(line)}` : path}: ${message}`,
    );
  }
}

const ofLab = (lab: string) => problemsOf(`${HEAD}lab:\n${`${SIZES}\n${lab}`.replaceAll(/^/gm, '  ')}\n`);
const ofSize = (size: string) => problemsOf(`${HEAD}lab: { sizes: [{ name: small, ${size} }] }\n`);
const MEMORY = 'expected an amount of memory, such as 4Gi, 250M or a number of bytes';

describe('a mistake that people make', () => {
  it.each([
    ['a key with a letter too few', 'spawnTimout: 5m', 'lab.spawnTimout: unknown key: did you mean spawnTimeout?'],
    ['a key as Python writes it', 'default_size: small', 'lab.default_size: unknown key: did you mean defaultSize?'],
    ['another one', 'node_selector: { a: b }', 'lab.node_selector: unknown key: did you mean nodeSelector?'],
    ['a third one', 'image_pull_policy: Always', 'lab.image_pull_policy: unknown key: did you mean imagePullPolicy?'],
    ['a key of Zero to JupyterHub', 'extraEnv: { A: b }', 'lab.extraEnv: unknown key: what it sets is lab.env here'],
    ['another', 'extraContainers: []', 'lab.extraContainers: unknown key: what it sets is lab.sidecars here'],
    ['a third', 'cmd: [x]', 'lab.cmd: unknown key: what it sets is lab.args here'],
    [
      'a key of a pod',
      'serviceAccountName: x',
      'lab.serviceAccountName: unknown key: what it sets is lab.serviceAccount.name here',
    ],
    ['a key of another place', 'labsPerUser: 3', 'lab.labsPerUser: unknown key: it belongs into limits'],
    ['a key that is nowhere', 'surprise: 1', 'lab.surprise: unknown key'],
    ['a key of every object', 'constructor: 1', 'lab.constructor: unknown key'],
    ['a number where text is', 'env: { N: 4 }', 'lab.env.N: expected text, in quotes'],
    ['true where text is', 'nodeSelector: { gpu: true }', 'lab.nodeSelector.gpu: expected text, in quotes'],
    ['text where a number is', 'port: "8080"', 'lab.port: expected a number, without quotes'],
    [
      'milliseconds',
      'spawnTimeout: 600000',
      'lab.spawnTimeout: expected a duration above zero, such as 90s, 10m or 1h30m; a number without a unit is seconds: write ' +
        '600000ms, or 600000s where seconds were meant',
    ],
    [
      'a claim as in Kubernetes',
      'volumes: [{ name: home, persistentVolumeClaim: { resources: { requests: { storage: 1Gi } } } }]',
      `lab.volumes[0].persistentVolumeClaim.storage: missing: ${MEMORY}, or the claimName of a claim that is there`,
    ],
    [
      'a claim with its resources',
      'volumes: [{ name: home, persistentVolumeClaim: { resources: { requests: { storage: 1Gi } } } }]',
      'lab.volumes[0].persistentVolumeClaim.resources: unknown key: the size of a claim is storage here, without resources and requests',
    ],
    [
      'a claim by its name',
      'volumes: [{ name: home, persistentVolumeClaim: { claimName: homes } }]',
      "lab.volumes[0].persistentVolumeClaim.claimName: expected none: the namespace of a lab's own has no claims but those of the lab; " +
        'set lab.namespaces: shared, where claims that are there can be used, or name the server in nfs',
    ],
    [
      'an export with its server',
      'volumes: [{ name: home, nfs: { server: "nfs.example.org:/export" } }]',
      'lab.volumes[0].nfs.server: expected a host without a path: what it exports is path',
    ],
    [
      'an export without its path',
      'volumes: [{ name: home, nfs: { server: nfs.example.org } }]',
      'lab.volumes[0].nfs.path: missing: expected an absolute path without . and .., such as /export',
    ],
    [
      "a mount in Nublado's words",
      'volumeMounts: [{ containerPath: /home, volumeName: home }]',
      'lab.volumeMounts[0].containerPath: unknown key: what it sets is mountPath here',
    ],
    [
      'variables as a list',
      'env: [{ name: A, value: b }]',
      'lab.env: expected keys and values, such as "name: value", and no list',
    ],
    ['a command as text', 'args: run', 'lab.args: expected a list: [ … ], or entries that each begin with "- "'],
    [
      'yes',
      'readOnlyRootFilesystem: yes',
      'lab.readOnlyRootFilesystem: expected true or false, without quotes: yes and no are text',
    ],
    [
      'time in words',
      'spawnTimeout: 5 minutes',
      'lab.spawnTimeout: expected a duration above zero, such as 90s, 10m or 1h30m; was 5m meant?',
    ],
    [
      'permissions as a number',
      'files: { /usr/bin/x: { text: a, mode: 0755 } }',
      'lab.files["/usr/bin/x"].mode: expected permissions in octal and in quotes, such as "0755"',
    ],
  ])('in the settings of labs: %s', (_, lab, problem) => {
    expect(ofLab(lab)).toContain(problem);
  });

  it.each([
    ['bytes without a unit', 'cpu: 1, memory: 2', `${MEMORY}; without a unit it is bytes: was 2Gi meant?`],
    ['nothing', 'cpu: 1, memory: 0', MEMORY],
    ['GB', 'cpu: 1, memory: 2GB', `${MEMORY}; was 2G or 2Gi meant?`],
    ['gi', 'cpu: 1, memory: 2gi', `${MEMORY}; was 2Gi meant?`],
    ['a blank', 'cpu: 1, memory: "1.5 GiB"', `${MEMORY}; was 1.5Gi meant?`],
    ['no memory', 'cpu: 1', `missing: ${MEMORY}`],
  ])('in the memory of a size: %s', (_, size, problem) => {
    expect(ofSize(size)).toContain(`lab.sizes[0].memory: ${problem}`);
  });

  it.each([
    ['no CPU', 'memory: 1Gi', 'lab.sizes[0].cpu: missing: expected an amount of CPU, such as 500m, 2 or 0.5'],
    [
      'a device beside cpu',
      'cpu: 1, memory: 1Gi, nvidia.com/gpu: 1',
      'lab.sizes[0]["nvidia.com/gpu"]: unknown key: it belongs into extendedResources',
    ],
    ["Nublado's size", 'size: small, cpu: 1, memory: 1Gi', 'lab.sizes[0].size: unknown key: what it sets is name here'],
    [
      "Nublado's resources",
      'resources: { limits: { cpu: 1 } }',
      'lab.sizes[0].resources: unknown key: limits are cpu and memory here, requests cpuRequest and memoryRequest',
    ],
    ['a limit of KubeSpawner', 'mem_limit: 1G', 'lab.sizes[0].mem_limit: unknown key: what it sets is memory here'],
    [
      'CPU with a word',
      'cpu: 2 cores, memory: 1Gi',
      'lab.sizes[0].cpu: expected an amount of CPU, such as 500m, 2 or 0.5; was 2 meant?',
    ],
    [
      'no CPU at all',
      'cpu: 0, memory: 1Gi',
      'lab.sizes[0].cpu: expected an amount of CPU, such as 500m, 2 or 0.5; more than none is needed',
    ],
    [
      'a device in quotes',
      'cpu: 1, memory: 1Gi, extendedResources: { nvidia.com/gpu: "1" }',
      'lab.sizes[0].extendedResources["nvidia.com/gpu"]: expected a number, without quotes',
    ],
    [
      'one group without a list',
      'cpu: 1, memory: 1Gi, groups: staff',
      'lab.sizes[0].groups: expected a list: [ … ], or entries that each begin with "- "',
    ],
  ])('in a size: %s', (_, size, problem) => {
    expect(ofSize(size)).toContain(problem);
  });

  it.each([
    ['sizes that are not indented', `${HEAD}lab:\n${SIZES}\n`, 'sizes: unknown key: it belongs into lab'],
    [
      'Zero to JupyterHub',
      `${HEAD}singleuser: {}\nlab: { ${SIZES} }\n`,
      'singleuser: unknown key: what it sets is lab here',
    ],
    [
      'a section with nothing in it',
      `${HEAD}lab: { ${SIZES} }\nlimits:\n`,
      'limits: expected keys and values (user, hub, admin, anonymous, failedAuthentication, …); nothing is there, or what belongs there is ' +
        'not indented',
    ],
    [
      'images as a list',
      `${HEAD.replace(/images.*\n/, 'images: [{ reference: "a/b:1" }]\n')}lab: { ${SIZES} }\n`,
      'images: expected keys and values (list, sources, registries, refresh, pin, …), and no list',
    ],
    [
      'an image as text',
      `${HEAD.replace(/images.*\n/, 'images: { list: ["a/b:1"] }\n')}lab: { ${SIZES} }\n`,
      'images.list[0]: expected keys and values (reference, name, description, groups, sizes, …)',
    ],
    [
      'an image without a tag',
      `${HEAD.replace('lab:1', 'lab')}lab: { ${SIZES} }\n`,
      'images.list[0].reference: expected an image with a tag or a digest, such as registry.example.com/name:1',
    ],
    [
      'a token itself',
      `${HEAD.replace(/auth.*\n/, 'auth: { tokens: [{ token: sesame, role: hub }] }\n')}lab: { ${SIZES} }\n`,
      'auth.tokens[0].token: unknown key: only its SHA-256 is written: sha256',
    ],
    [
      'an address without its block',
      `${HEAD.replace('127.0.0.1/32', '127.0.0.1')}lab: { ${SIZES} }\n`,
      'auth.proxyHeaders.trustedAddresses[0]: expected an address block such as 10.0.0.0/8 or fd00::/8, or one address as 10.0.0.1/32',
    ],
    [
      'an overlay for those who are no administrators',
      `${HEAD}lab: { ${SIZES} }\noverlays: [{ name: a, match: { admin: false }, lab: {} }]\n`,
      'overlays[0].match.admin: expected true, or no such key: others are not told by it',
    ],
    [
      'builds without a builder',
      `${HEAD}lab: { ${SIZES} }\nbuilds: { registry: { host: registry.example.org } }\n`,
      'builds.builder: missing: expected keys and values (image, imagePullPolicy, imagePullSecrets, userName, userId, …)',
    ],
    [
      'a registry by its address',
      `${HEAD}lab: { ${SIZES} }\nbuilds: { builder: { image: "a/b:1" }, registry: { host: "https://registry.example.org" } }\n`,
      'builds.registry.host: expected the host of a registry without https://, with a port where it needs one, such as registry.example.com:5000',
    ],
    [
      'no baseUrl',
      `${HEAD.replace(/^baseUrl.*\n/, '')}lab: { ${SIZES} }\n`,
      'baseUrl: missing: expected an http or https URL',
    ],
  ])('in the whole: %s', (_, text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it.each([
    [
      'an item one space off',
      'a:\n  - b: 1\n - c: 2\n',
      'line 3: a value with a colon needs quotes, or the indentation does not fit the lines around it (column 1)',
    ],
    ['tabs', 'a:\n\tb: 1\n', 'line 2: tabs cannot indent: use spaces (column 1)'],
    ['a key twice', 'a: 1\nb: 2\na: 3\n', 'line 3: the key "a" is there twice (column 1)'],
    [
      'a colon in a value',
      'a: b: c\n',
      'line 1: a value with a colon needs quotes, or the indentation does not fit the lines around it (column 4)',
    ],
    [
      'a quote that is not closed',
      'a: "b\n',
      'line 2: a quote, a bracket, a brace or a comma is missing here or before (column 1)',
    ],
  ])('in YAML: %s', (_, text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });
});
