import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, parseConfig, sandboxConfig, sizeResources } from '../../src/config/index.ts';
import { configWithLab } from '../builder/cases.ts';

const EXAMPLES = new URL('../../deploy/examples/', import.meta.url);
const MINIMAL = `
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [10.0.0.0/8] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab: { sizes: [{ name: small, cpu: 1, memory: 3Gi }] }
`;

/** What is wrong with a configuration, as `path: message`. */
function problemsOf(text: string): string[] {
  try {
    parseConfig(text, 'config.yaml');
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

/** The same for the keys of `lab`, without the beginning of the path. */
function labProblems(lab: string): string[] {
  const settings = `${/^sizes:/m.test(lab) ? '' : 'sizes: [{ name: small, cpu: 1, memory: 3Gi }]\n'}${lab}`;
  return problemsOf(MINIMAL.replace(/^lab:.*$/m, `lab:\n${settings.trim().replaceAll(/^/gm, '  ')}`)).map((problem) =>
    problem.replace(/^lab\./, ''),
  );
}

describe('a configuration file', () => {
  it('need not be longer than ten lines', async () => {
    const config = await loadConfig(new URL('minimal.yaml', EXAMPLES).pathname);
    expect(config.lab).toMatchObject({
      defaultSize: 'small',
      args: ['jupyterhub-singleuser'],
      podSecurity: 'restricted',
      spawnTimeout: 600_000,
    });
    expect(config.pathPrefix).toBe('/labwright');
  });

  it('is shipped in examples that all can be used', async () => {
    const files = (await readdir(EXAMPLES)).filter((file) => file.endsWith('.yaml'));
    expect(files).toEqual(['course.yaml', 'full.yaml', 'images.yaml', 'minimal.yaml', 'profiles.yaml']);
    await Promise.all(files.map((file) => loadConfig(new URL(file, EXAMPLES).pathname)));
  });

  it('is frozen once it is read', () => {
    const config = parseConfig(MINIMAL);
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.lab.sizes[0])).toBe(true);
  });

  it('is not needed for the sandbox', () => {
    const config = sandboxConfig({ host: '127.0.0.1', port: 8080, userToken: 'user', hubToken: 'hub' });
    expect(config.baseUrl).toBe('http://127.0.0.1:8080');
    expect(config.auth.tokens.map(({ role }) => role)).toEqual(['user', 'hub']);
    expect(JSON.stringify(config.auth)).not.toContain('"user"}');
  });
});

describe('a configuration that cannot be used', () => {
  it('is refused with everything that is wrong, each with its place and line', () => {
    const text = `baseUrl: ftp://example.org
surprise: 1
listen: { port: high }
auth: { tokens: [{ role: user, sha256: abc }] }
images: { list: [{ reference: no-tag }] }
lab:
  sizes:
    - { name: small, cpu: 500mm, memory: 4Gb }
    - { name: small, cpu: 1, memory: 4Gi, cpuRequest: 2 }
  env: { JUPYTERHUB_USER: me }
  tolerations: [{ kee: gpu }]
  volumeMounts: [{ name: home, mountPath: /home }]
`;
    expect(() => parseConfig(text, 'config.yaml')).toThrow(ConfigError);
    try {
      parseConfig(text, 'config.yaml');
    } catch (error) {
      expect((error as ConfigError).message.split('\n').sort()).toEqual(
        [
          'config.yaml cannot be used:',
          '  baseUrl (line 1): expected an http or https URL',
          '  surprise (line 2): unknown key',
          '  listen.port (line 3): expected a number, without quotes',
          '  auth.tokens[0].sha256 (line 4): expected the SHA-256 of the token: 64 digits of 0-9 and a-f',
          '  auth.tokens[0].user (line 4): expected the user that a token of role user stands for',
          '  images.list[0].reference (line 5): expected an image with a tag or a digest, such as registry.example.com/name:1',
          '  lab.sizes[0].cpu (line 8): expected an amount of CPU, such as 500m, 2 or 0.5',
          '  lab.sizes[0].memory (line 8): expected an amount of memory, such as 4Gi, 250M or a number of bytes; was 4G or 4Gi meant?',
          '  lab.sizes[1].cpuRequest (line 9): expected no more than cpu, the limit',
          '  lab.sizes[1].name (line 9): expected another name: "small" is already there',
          '  lab.env.JUPYTERHUB_USER (line 10): expected a name that is not reserved: JUPYTERHUB_USER is set for each lab by the hub or by Labwright',
          '  lab.tolerations[0].kee (line 11): unknown key',
          '  lab.volumeMounts[0].name (line 12): expected a volume, and lab.volumes has none',
        ].sort(),
      );
    }
  });

  it('never has its values repeated, which may be secret', () => {
    expect(problemsOf(`${MINIMAL}listen: { port: hunter2 }\nlogLevel: hunter2`).join()).not.toContain('hunter2');
  });

  it.each([
    ['an empty file', '', 'baseUrl: missing: expected an http or https URL'],
    [
      'no YAML',
      'a: b: c',
      ': a value with a colon needs quotes, or the indentation does not fit the lines around it (column 4)',
    ],
    ['no table', '- 1', ': expected keys and values, and no list'],
    ['a key twice', `${MINIMAL}baseUrl: https://example.org`, ': the key "baseUrl" is there twice (column 1)'],
    ['an alias without an anchor', 'a: *b', ': Unresolved alias (the anchor must be set before the alias): b'],
  ])('is refused when it is %s', (_, text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it('is refused in one sentence when there is no such file', async () => {
    await expect(loadConfig('/nowhere/config.yaml')).rejects.toThrow(/nowhere.*cannot be used:\n.*cannot be read/);
  });

  it('is refused when nobody could call', () => {
    expect(problemsOf(MINIMAL.replace(/^auth:.*$/m, 'auth: {}'))).toEqual([
      'auth: expected tokens, jwt, serviceAccounts, jupyterhub or proxyHeaders: nobody could call otherwise',
    ]);
  });
});

describe('rules between settings of a lab', () => {
  it.each([
    ['a default size that is not there', 'defaultSize: huge', 'defaultSize: expected one of the sizes: small'],
    [
      'a mount of no volume',
      'volumeMounts: [{ name: x, mountPath: /x }]',
      'volumeMounts[0].name: expected a volume, and lab.volumes has none',
    ],
    ['a home on no volume', 'home: { volume: x }', 'home.volume: expected a volume, and lab.volumes has none'],
    [
      'a mount of an init container of no volume',
      'initContainers: [{ name: i, image: i, volumeMounts: [{ name: x, mountPath: /x }] }]',
      'initContainers[0].volumeMounts[0].name: expected a volume, and lab.volumes has none',
    ],
    [
      'two sources of one volume',
      'volumes: [{ name: v, emptyDir: {}, nfs: { server: s, path: /p } }]',
      'volumes[0]: expected exactly one of hostPath, nfs, persistentVolumeClaim, persistentVolume, emptyDir, configMap, secret',
    ],
    [
      'a volume called as one of ours',
      'volumes: [{ name: lab-tmp, emptyDir: {} }]',
      'volumes[0].name: expected a name that Labwright does not use itself',
    ],
    [
      'a file at /etc/passwd',
      'files: { /etc/passwd: x }',
      'files["/etc/passwd"]: expected another path: Labwright itself fills /etc/passwd, /etc/group and /tmp',
    ],
    [
      'a relative file',
      'files: { etc/motd: x }',
      'files["etc/motd"]: expected an absolute path without colon, . and .. and without a slash at its end',
    ],
    [
      'a file that leaves its directory',
      'files: { /etc/../motd: x }',
      'files["/etc/../motd"]: expected an absolute path without colon, . and .. and without a slash at its end',
    ],
    [
      'two things at one path',
      'files: { /etc/x: x }\nsecrets: [{ secretName: s, secretKey: k, path: /etc/x }]',
      'secrets[0].path: expected another path: /etc/x is already taken',
    ],
    [
      'a key of a secret twice',
      'secrets: [{ secretName: a, secretKey: k }, { secretName: b, secretKey: k }]',
      'secrets[1].secretKey: expected another secretKey: "k" is already there',
    ],
    [
      'a secret called token',
      'secrets: [{ secretName: a, secretKey: token }]',
      'secrets[0].secretKey: expected another key than token, which holds the token of the user',
    ],
    [
      'a secret in a reserved variable',
      'secrets: [{ secretName: a, secretKey: k, env: ACCESS_TOKEN }]',
      'secrets[0].env: expected a name that is not reserved: ACCESS_TOKEN is set for each lab by the hub or by Labwright',
    ],
    [
      'a secret in a variable that is set',
      'env: { KEY: x }\nsecrets: [{ secretName: a, secretKey: k, env: KEY }]',
      'secrets[0].env: expected another name: KEY is already set',
    ],
    [
      'scheduling that may take longer than the spawn',
      'spawnTimeout: 1m\nschedulingTimeout: 2m',
      'schedulingTimeout: expected no more than spawnTimeout',
    ],
    [
      'defaults above their limits',
      'containerDefaults: { cpuRequest: 1 }',
      'containerDefaults.cpuRequest: expected no more than cpu, the limit',
    ],
    [
      'a label of ours',
      'extraLabels: { labwright.dev/lab: mine }',
      'extraLabels["labwright.dev/lab"]: expected a key that Labwright does not set itself',
    ],
    [
      'a hostPath under Pod Security restricted',
      'podSecurity: restricted\nvolumes: [{ name: v, hostPath: { path: /v } }]',
      'volumes[0].hostPath: expected nothing that needs lab.podSecurity: privileged, which is set to restricted',
    ],
    [
      'an amount that is none',
      'sizes: [{ name: s, cpu: -1, memory: 0 }]',
      'sizes[0].cpu: expected an amount of CPU, such as 500m, 2 or 0.5',
    ],
    [
      'an extended resource without a domain',
      'sizes: [{ name: s, cpu: 1, memory: 1Gi, extendedResources: { gpu: 1 } }]',
      'sizes[0].extendedResources.gpu: expected the name of an extended resource, such as nvidia.com/gpu',
    ],
    [
      'a duration without a unit',
      'deleteTimeout: "90"',
      'deleteTimeout: expected a duration above zero, such as 90s, 10m or 1h30m',
    ],
    [
      'permissions that YAML reads as another number',
      'files: { /etc/x: { text: x, mode: 0755 } }',
      'files["/etc/x"].mode: expected permissions in octal and in quotes, such as "0755"',
    ],
    [
      'a file of two contents',
      'files: { /etc/x: { text: x, json: {} } }',
      'files["/etc/x"]: expected exactly one of text, json, yaml, base64',
    ],
    ['bytes that are none', 'files: { /etc/x: { base64: "a b" } }', 'files["/etc/x"].base64: expected base64'],
    [
      'a sidecar that is called as the lab',
      'sidecars: [{ name: notebook, image: i }]',
      'sidecars[0].name: expected another name than notebook, the lab itself',
    ],
    [
      'a sidecar that mounts no volume',
      'sidecars: [{ name: db, image: i, volumeMounts: [{ name: x, mountPath: /x }] }]',
      'sidecars[0].volumeMounts[0].name: expected a volume, and lab.volumes has none',
    ],
    [
      'a privileged sidecar under Pod Security restricted',
      'podSecurity: restricted\nsidecars: [{ name: db, image: i, securityContext: { privileged: true } }]',
      'sidecars[0]: expected nothing that needs lab.podSecurity: privileged, which is set to restricted',
    ],
    [
      'a pod that is started again',
      'podPatch: { restartPolicy: Always }',
      'podPatch.restartPolicy: expected none: it is Never',
    ],
    [
      'a placeholder that nobody knows',
      'env: { A: "{user}" }',
      'env.A: {user} is not known; expected {username}, {servername}, {user_server}, {safe_username}, {safe_servername}, ' +
        '{safe_user_server}, {escaped_username}, {escaped_servername}, {escaped_user_server}, {unescaped_username}, ' +
        '{unescaped_servername}, {slug}, {uid}, {gid}, {email}, or a space in the braces where they stand for themselves: { user }',
    ],
    [
      'a raw name where it may not fit',
      'extraLabels: { who: "{unescaped_username}" }',
      'extraLabels.who: expected no {unescaped_username} here, which may hold any character: {username} and {escaped_username} do not',
    ],
    [
      'a label with the user in it that is no label',
      'extraLabels: { who: "-{username}" }',
      'extraLabels.who: expected at most 63 letters, digits, - _ and ., beginning and ending with a letter or digit',
    ],
    [
      'a part of a volume that may be all of it',
      'volumes: [{ name: v, emptyDir: {} }]\nvolumeMounts: [{ name: v, mountPath: /v, subPath: "./{servername}" }]',
      'volumeMounts[0].subPath: expected more than what may be empty: others would be seen',
    ],
    [
      'a directory that is that of all where there is no name',
      'volumes: [{ name: v, nfs: { server: s, path: "/homes/{servername}" } }]',
      'volumes[0].nfs.path: expected more than what may be empty: others would be seen',
    ],
    [
      'an address in a path',
      'volumes: [{ name: v, nfs: { server: s, path: "/homes/{username}/{email}" } }]',
      'volumes[0].nfs.path: expected no {email} in a path, since it may hold slashes',
    ],
    [
      'a token of the account at the root',
      'serviceAccount: { tokens: [{ audience: a, path: /token }] }',
      'serviceAccount.tokens[0].path: expected a file in a directory of its own',
    ],
    [
      'a token of the account where something else is',
      'files: { /var/run/cloud: x }\nserviceAccount: { tokens: [{ audience: a, path: /var/run/cloud/token }] }',
      'serviceAccount.tokens[0].path: expected another path: /var/run/cloud is already taken',
    ],
    [
      'an empty peer',
      'networkPolicy: { hub: [{}] }',
      'networkPolicy.hub[0]: expected either ipBlock or selectors of pods and namespaces',
    ],
    [
      'a namespace prefix that leaves no room',
      `namespacePrefix: ${'x'.repeat(23)}`,
      'namespacePrefix: expected at most 22 of a-z, 0-9 and -, beginning and ending with a letter or digit',
    ],
  ])('refuse %s', (_, lab, problem) => {
    expect(labProblems(lab)).toContain(problem);
  });

  it('asks for no more than the strictest Pod Security level that the volumes and init containers allow', () => {
    const level = (lab: string) => configWithLab(lab).lab.podSecurity;
    expect(level('volumes: [{ name: v, emptyDir: {} }]')).toBe('restricted');
    expect(level('volumes: [{ name: v, nfs: { server: s, path: /p } }]')).toBe('baseline');
    expect(level('initContainers: [{ name: i, image: i, runAsRoot: true }]')).toBe('baseline');
    expect(level('initContainers: [{ name: i, image: i, privileged: true }]')).toBe('privileged');
    expect(level('volumes: [{ name: v, hostPath: { path: /v } }]')).toBe('privileged');
    expect(level('podSecurity: privileged')).toBe('privileged');
  });

  it('hands no default arguments to a command of its own', () => {
    expect(configWithLab('command: [start-lab]').lab.args).toEqual([]);
  });

  it('takes the limits as requests where none are given', () => {
    const size = configWithLab('sizes: [{ name: s, cpu: 500m, memory: 1G }]').lab.sizes[0]!;
    const compute = { cpu: 0.5, memory: 1e9 };
    expect(sizeResources(size)).toEqual({ limits: compute, requests: compute });
  });
});
