import { describe, expect, it } from 'vitest';
import type { LabObjects } from '../../../src/builder/lab/lab-builder.ts';
import { fileKey } from '../../../src/builder/lab/user-files.ts';
import { SPEC_HASH_ANNOTATION } from '../../../src/domain/lab/object-names.ts';
import { buildWith, configWithLab, exampleConfig } from '../cases.ts';

const minimal = await exampleConfig('minimal');

function environmentOf({ envSecret }: LabObjects): Record<string, string> {
  return Object.fromEntries(
    Object.entries(envSecret.data ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]),
  );
}

function hashOf({ namespace }: LabObjects): string | undefined {
  return namespace?.metadata?.annotations?.[SPEC_HASH_ANNOTATION];
}

/** Where the notebook container sees each of its volumes. */
function mountsOf({ pod }: LabObjects): Record<string, string> {
  return Object.fromEntries(
    (pod.spec?.containers[0]?.volumeMounts ?? []).map(({ mountPath, name }) => [mountPath, name]),
  );
}

describe('the environment of a lab', () => {
  it('has what the hub sent, unchanged', () => {
    const odd = 'quotes " and \n newlines, $(HOME) and ünïcode';
    expect(environmentOf(buildWith(minimal, { env: { ODD: odd } }))).toMatchObject({ ODD: odd });
  });

  it.each([
    ['http://127.0.0.1:0/user/ada/', 'http://0.0.0.0:8888/user/ada/'],
    ['http://127.0.0.1:0', 'http://0.0.0.0:8888'],
    ['http://localhost:8889/user/ada/', 'http://0.0.0.0:8889/user/ada/'],
    ['https://[::1]:0/user/ada/', 'https://0.0.0.0:8888/user/ada/'],
    ['http://:0/user/ada/', 'http://0.0.0.0:8888/user/ada/'],
    ['http://0.0.0.0:0/user/a:0/', 'http://0.0.0.0:8888/user/a:0/'],
    ['http://[::]:0/user/ada/', 'http://[::]:8888/user/ada/'],
    ['http://0.0.0.0:8888/user/127.0.0.1/', 'http://0.0.0.0:8888/user/127.0.0.1/'],
    ['http://127.0.0.1.example.org:8888/', 'http://127.0.0.1.example.org:8888/'],
    ['http://0.0.0.0:8080/', 'http://0.0.0.0:8080/'],
    ['what is no URL', 'what is no URL'],
  ])('makes the server listen where it is reached: for %s at %s', (sent, said) => {
    const environment = environmentOf(buildWith(minimal, { env: { JUPYTERHUB_SERVICE_URL: sent } }));
    expect(environment).toMatchObject({ JUPYTERHUB_SERVICE_URL: said });
  });

  it('lets what is known of the lab win over what the hub sent', () => {
    const env = { CPU_LIMIT: '99', MEM_LIMIT: '99', JUPYTER_IMAGE_SPEC: 'other', DEBUG: 'no' };
    expect(environmentOf(buildWith(minimal, { env, debug: true }))).toMatchObject({
      CPU_LIMIT: '1.0',
      MEM_LIMIT: String(3 * 2 ** 30),
      JUPYTER_IMAGE_SPEC: minimal.images.list[0]?.reference,
      DEBUG: 'TRUE',
    });
  });

  it('lets the configuration win over everything', () => {
    const config = configWithLab('env: { HOME: /elsewhere, GREETING: configured }');
    const environment = environmentOf(buildWith(config, { env: { GREETING: 'from the hub' } }));
    expect(environment).toMatchObject({ HOME: '/elsewhere', GREETING: 'configured' });
  });

  it('has the kubelet fill in other variables, which it does only in what the pod says', () => {
    const env = 'env: { PLAIN: a, LATER: "$(PLAIN)/$(JUPYTERHUB_USER)", DOLLAR: "$$(PLAIN)" }';
    const objects = buildWith(configWithLab(`${env}\ninitContainers: [{ name: i, image: i, env: { LATER: own } }]`));
    expect(environmentOf(objects)).toMatchObject({ PLAIN: 'a' });
    expect(environmentOf(objects)).not.toHaveProperty('LATER');
    const { containers, initContainers } = objects.pod.spec ?? {};
    expect(containers?.[0]?.env?.slice(-2)).toEqual([
      { name: 'LATER', value: '$(PLAIN)/$(JUPYTERHUB_USER)' },
      { name: 'DOLLAR', value: '$$(PLAIN)' },
    ]);
    const own = initContainers?.[0]?.env?.filter(({ name }) => ['LATER', 'DOLLAR'].includes(name));
    expect(own).toEqual([
      { name: 'DOLLAR', value: '$$(PLAIN)' },
      { name: 'LATER', value: 'own' },
    ]);
  });

  it('leads the user to the page that the configuration names, not to that of the hub', () => {
    const env = { JUPYTERHUB_DEFAULT_URL: '/lab' };
    expect(environmentOf(buildWith(minimal, { env }))).toMatchObject(env);
    const config = configWithLab('defaultUrl: "/tree/{username}"');
    expect(environmentOf(buildWith(config, { env }))).toMatchObject({ JUPYTERHUB_DEFAULT_URL: '/tree/rachel' });
  });

  it('leaves alone what was not asked for', () => {
    const environment = environmentOf(buildWith(minimal));
    expect(environment).not.toHaveProperty('DEBUG');
    expect(environment).not.toHaveProperty('RESET_USER_ENV');
    expect(environment).not.toHaveProperty('NUBLADO_RUNTIME_MOUNTS_DIR');
  });

  it('quotes the start command as a shell reads it', () => {
    const config = configWithLab(`args: [start, "two words", "it's"]`);
    expect(environmentOf(buildWith(config)).JUPYTERLAB_START_COMMAND).toBe(`start 'two words' 'it'"'"'s'`);
  });
});

describe('secrets', () => {
  it('are in Secrets and nowhere else', () => {
    const objects = buildWith(minimal, { env: { JUPYTERHUB_API_TOKEN: 'hub-secret' }, token: 'user-secret' });
    const { envSecret, secret, ...others } = objects;
    const text = JSON.stringify(others);
    for (const value of ['hub-secret', 'user-secret']) {
      expect(text).not.toContain(value);
      expect(text).not.toContain(Buffer.from(value).toString('base64'));
    }
    expect(secret?.data).toEqual({ token: Buffer.from('user-secret').toString('base64') });
    expect(envSecret.data).toHaveProperty('JUPYTERHUB_API_TOKEN');
  });

  it('need no Secret of their own when there are none', () => {
    const { secret, pod } = buildWith(minimal, { token: null });
    expect(secret).toBeUndefined();
    expect(JSON.stringify(pod)).not.toContain('lab-secrets');
    expect(JSON.stringify(pod)).not.toContain('ACCESS_TOKEN');
  });

  it('can be an environment variable, a file or both', () => {
    const config = configWithLab('secrets: [{ secretName: s, secretKey: key, env: KEY, path: /etc/key }]');
    const objects = buildWith(config, { data: { key: 'a2V5' }, token: null });
    const container = objects.pod.spec?.containers[0];
    expect(container?.env).toContainEqual({
      name: 'KEY',
      valueFrom: { secretKeyRef: { name: 'lab-secrets', key: 'key' } },
    });
    expect(container?.volumeMounts).toContainEqual({
      name: 'lab-secrets',
      mountPath: '/etc/key',
      subPath: 'key',
      readOnly: true,
    });
    expect(objects.secret?.data).toEqual({ key: 'a2V5' });
  });

  it('of a registry keep their type', () => {
    const data = { '.dockerconfigjson': 'e30=' };
    const objects = buildWith(minimal, { pullSecret: { type: 'kubernetes.io/dockerconfigjson', data } });
    expect(objects.pullSecret).toMatchObject({ type: 'kubernetes.io/dockerconfigjson', data });
    expect(objects.pod.spec?.imagePullSecrets).toEqual([{ name: 'lab-pull-secret' }]);
  });
});

describe('the home directory', () => {
  it('is an empty directory that any uid can write to, where nothing else is configured', () => {
    const objects = buildWith(minimal);
    expect(mountsOf(objects)).toMatchObject({ '/home/rachel': 'lab-home' });
    expect(objects.pod.spec?.volumes).toContainEqual({ name: 'lab-home', emptyDir: {} });
  });

  it('is left to a volume that is mounted at or above it', () => {
    const volumes = 'volumes: [{ name: v, nfs: { server: s, path: /p } }]';
    const above = buildWith(configWithLab(`${volumes}\nvolumeMounts: [{ name: v, mountPath: /home }]`));
    expect(mountsOf(above)).not.toHaveProperty('/home/rachel');
    const beside = buildWith(configWithLab(`${volumes}\nvolumeMounts: [{ name: v, mountPath: /home/rach }]`));
    expect(mountsOf(beside)).toHaveProperty('/home/rachel');
  });

  it('is the configured volume', () => {
    const config = configWithLab(
      'volumes: [{ name: v, persistentVolumeClaim: { storage: 1Gi } }]\nhome: { volume: v }',
    );
    const objects = buildWith(config);
    expect(mountsOf(objects)).toMatchObject({ '/home/rachel': 'v' });
    expect(objects.pod.spec?.securityContext).toMatchObject({ fsGroup: 1101 });
  });

  it('is handed over where only a sidecar mounts a claim of its own', () => {
    const mount = (claim: string) =>
      buildWith(
        configWithLab(
          `volumes: [{ name: v, persistentVolumeClaim: { ${claim} } }]\n` +
            'sidecars: [{ name: db, image: db, volumeMounts: [{ name: v, mountPath: /v }] }]',
        ),
      ).pod.spec?.securityContext;
    expect(mount('storage: 1Gi')).toMatchObject({ fsGroup: 1101 });
    expect(mount('storage: 1Gi, accessModes: [ReadWriteMany]')).not.toHaveProperty('fsGroup');
  });

  it('can stay that of the image', () => {
    const config = configWithLab('home: { schema: image, prefix: /home/jovyan }');
    const objects = buildWith(config);
    expect(mountsOf(objects)).not.toHaveProperty('/home/jovyan');
    expect(objects.pod.spec?.containers[0]).not.toHaveProperty('workingDir');
    expect(environmentOf(objects)).not.toHaveProperty('HOME');
  });
});

describe('volumes', () => {
  it('get a claim also when only an init container, or nothing, mounts them', () => {
    const config = configWithLab(`
volumes:
  - { name: used, persistentVolumeClaim: { storage: 1Gi } }
  - { name: unused, persistentVolumeClaim: { storage: 1Gi, retain: true } }
initContainers: [{ name: i, image: i, volumeMounts: [{ name: used, mountPath: /used }] }]
`);
    const { volumeClaims, pod } = buildWith(config);
    const claims = volumeClaims.map(({ metadata }) => metadata?.name);
    const named = pod.spec?.volumes?.flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? []);
    expect(claims).toEqual(['lab-used', 'lab-unused']);
    expect(named).toEqual(claims);
  });

  it('give /tmp a quarter of the memory when it is kept there', () => {
    const { pod } = buildWith(configWithLab('tmp: { medium: memory }'));
    expect(pod.spec?.volumes).toContainEqual({ name: 'lab-tmp', emptyDir: { medium: 'Memory', sizeLimit: '768Mi' } });
  });

  it('keep files apart whose names would look the same', () => {
    const config = configWithLab('files: { /etc/a-b: one, /etc/a_b: two, /opt/a-b: three, /opt/passwd: four }');
    const { files } = buildWith(config);
    expect(Object.values(files?.data ?? {}).slice(2)).toEqual(['one', 'two', 'three', 'four']);
  });
});

describe('the pod', () => {
  it('has extended resources both as request and as limit', () => {
    const config = configWithLab(
      'sizes: [{ name: gpu, cpu: 2, memory: 1Gi, extendedResources: { nvidia.com/gpu: 2 } }]',
    );
    const resources = buildWith(config).pod.spec?.containers[0]?.resources;
    expect(resources?.limits).toMatchObject({ 'nvidia.com/gpu': '2' });
    expect(resources?.requests).toMatchObject({ 'nvidia.com/gpu': '2' });
  });

  it('is given the whole spawn deadline to listen', () => {
    const { pod } = buildWith(configWithLab('spawnTimeout: 90s\nschedulingTimeout: 1m\nport: 9999'));
    expect(pod.spec?.containers[0]?.startupProbe).toMatchObject({
      tcpSocket: { port: 9999 },
      periodSeconds: 1,
      failureThreshold: 90,
    });
  });

  it('says for which spawn it was made', () => {
    const { pod } = buildWith(minimal);
    expect(pod.metadata?.labels).toMatchObject({ 'labwright.dev/spawn': '0f6a1c52d3b84e97' });
  });
});

describe('an init container', () => {
  const lab = `
runtimeMountsDir: /etc/nublado
token: { source: signed }
files: { /opt/settings: x }
secrets: [{ secretName: s, secretKey: key, path: /etc/labs/key, env: LAB_KEY }]
volumes: [{ name: data, nfs: { server: s, path: /data } }, { name: startup, emptyDir: {} }]
volumeMounts: [{ name: data, mountPath: /data }, { name: startup, mountPath: /startup, readOnly: true }]
initContainers:
  - { name: step, image: "example.org/step:1", env: { LAB_KEY: mine }, SEES, volumeMounts: [{ name: startup, mountPath: /startup }] }
`;
  const containersWith = (sees: string) => {
    const { spec } = buildWith(configWithLab(lab.replace('SEES', sees)), { data: { key: 'a2V5' } }).pod;
    return [spec!.initContainers![0]!, spec!.containers[0]!] as const;
  };

  it('sees the home directory, /tmp and what it mounts itself', () => {
    const [step] = containersWith('sees: home');
    expect(step.volumeMounts?.map(({ mountPath }) => mountPath)).toEqual(['/startup', '/home/rachel', '/tmp']);
    expect(step.env?.map(({ name }) => name)).toEqual(['NUBLADO_HOME', 'NUBLADO_UID', 'NUBLADO_GID', 'LAB_KEY']);
  });

  it('sees what the lab sees where it is to, with its own mounts and environment before that', () => {
    const [step, notebook] = containersWith('sees: lab');
    const others = (mounts = notebook.volumeMounts) =>
      mounts?.filter(({ mountPath }) => mountPath !== '/startup').sort((a, b) => (a.mountPath < b.mountPath ? -1 : 1));
    expect(others(step.volumeMounts)).toEqual(others());
    expect(others()?.map(({ mountPath }) => mountPath)).toEqual(
      expect.arrayContaining(['/etc/passwd', '/opt/settings', '/data', '/etc/labs/key', '/etc/nublado/secrets']),
    );
    expect(step.volumeMounts).toContainEqual({ name: 'startup', mountPath: '/startup' });
    expect(step.env?.filter(({ name }) => name === 'LAB_KEY')).toEqual([{ name: 'LAB_KEY', value: 'mine' }]);
    const fromLab = (notebook.env ?? []).filter(({ name }) => name !== 'LAB_KEY');
    expect(fromLab.length).toBeGreaterThan(2);
    expect(step.env).toEqual(expect.arrayContaining(fromLab));
    expect(step.envFrom).toEqual(notebook.envFrom);
  });
});

describe('the group that volumes are handed to', () => {
  const claim = (modes: string, retain = 'false') =>
    `volumes: [{ name: v, persistentVolumeClaim: { accessModes: [${modes}], storage: 1Gi, retain: ${retain} } }]`;
  const mounted = 'volumeMounts: [{ name: v, mountPath: /v }]';
  const step = 'initContainers: [{ name: i, image: "example.org/i:1", volumeMounts: [{ name: v, mountPath: /v }] }]';

  it.each([
    ['a mounted claim of one machine', `${claim('ReadWriteOnce')}\n${mounted}`, 1101],
    ['a mounted claim of one pod', `${claim('ReadWriteOncePod')}\n${mounted}`, 1101],
    ['the home directory', `${claim('ReadWriteOnce')}\nhome: { volume: v }`, 1101],
    ['a claim that an init container mounts', `${claim('ReadWriteOnce')}\n${step}`, 1101],
    ['a claim that nobody mounts', claim('ReadWriteOnce'), undefined],
    ['a mounted claim that is shared', `${claim('ReadWriteMany')}\n${mounted}`, undefined],
    ['a mounted claim that may be shared', `${claim('ReadWriteOnce, ReadWriteMany')}\n${mounted}`, undefined],
    ['a mounted claim, never', `${claim('ReadWriteOnce')}\n${mounted}\nfsGroup: never`, undefined],
    ['no claim, always', 'fsGroup: always', 1101],
  ])('is set for %s', (_, lab, fsGroup) => {
    const { securityContext } = buildWith(configWithLab(lab)).pod.spec!;
    expect(securityContext?.fsGroup).toBe(fsGroup);
    expect(securityContext?.fsGroupChangePolicy).toBe(fsGroup === undefined ? undefined : 'OnRootMismatch');
  });
});

describe('the network policy', () => {
  it('is not there when it is turned off', () => {
    expect(buildWith(configWithLab('networkPolicy: { enabled: false }')).networkPolicy).toBeUndefined();
  });

  it('lets the lab reach hub and DNS, and nothing else, without internet', () => {
    const { networkPolicy } = buildWith(configWithLab('networkPolicy: { internet: false }'));
    expect(networkPolicy?.spec?.egress).toHaveLength(2);
  });

  it('lets the lab ask for names at any address, where clouds have their DNS: pods, link-local, that of the metadata service', () => {
    const { networkPolicy } = buildWith(configWithLab('networkPolicy: { internet: false, blocked: [10.0.0.0/8] }'));
    const [, dns] = networkPolicy?.spec?.egress ?? [];
    expect(dns).toEqual({
      to: [{ namespaceSelector: {} }, { ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }],
      ports: [
        { protocol: 'UDP', port: 53 },
        { protocol: 'TCP', port: 53 },
      ],
    });
  });

  it.each([
    ['of Labwright where nothing says more', 'enabled: true', ['labwright']],
    ['that are set', 'hubNamespaces: [one, two]', ['one', 'two']],
  ])('takes for the hub only what is labelled so in the namespaces %s', (_, rules, namespaces) => {
    const { networkPolicy } = buildWith(configWithLab(`networkPolicy: { ${rules} }`));
    const [hub] = networkPolicy?.spec?.egress ?? [];
    const peers = (component: string) =>
      namespaces.map((namespace) => ({
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        podSelector: { matchLabels: { app: 'jupyterhub', component } },
      }));
    expect(hub?.to).toEqual(peers('hub'));
    // The library calls `from` by another name.
    expect(networkPolicy?.spec?.ingress).toEqual([
      { from: [...peers('hub'), ...peers('proxy')], ports: [{ protocol: 'TCP', port: 8888 }] },
    ]);
  });

  it('never lets the lab reach a metadata service', () => {
    const { networkPolicy } = buildWith(configWithLab('networkPolicy: { blocked: [10.0.0.0/8] }'));
    const text = JSON.stringify(networkPolicy?.spec?.egress?.filter(({ ports }) => ports === undefined));
    const blocks = text.match(/"cidr":"0\.0\.0\.0\/0","except":\[[^\]]*\]/g) ?? [];
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) expect(block).toContain('169.254.169.254/32');
  });
});

describe('the hash of what stays', () => {
  it('is the same for another spawn with other secrets, size and image', async () => {
    const full = await exampleConfig('full');
    const first = buildWith(full, { size: 'small', token: 'one', env: { A: '1' } });
    const second = buildWith(full, { size: 'large', token: 'two', env: { A: '2' }, debug: true });
    expect(hashOf(second)).toBe(hashOf(first));
  });

  it.each([
    ['the display name', buildWith(minimal, { user: { name: 'Somebody else' } })],
    ['the groups', buildWith(minimal, { user: { groups: [] } })],
    ['a file', buildWith(configWithLab('files: { /etc/motd: Hello }'))],
    ['a volume', buildWith(configWithLab('volumes: [{ name: v, persistentVolumeClaim: { storage: 1Gi } }]'))],
    ['the port', buildWith(configWithLab('port: 9999'))],
    ['a label', buildWith(configWithLab('extraLabels: { example.org/x: y }'))],
  ])('changes with %s', (_, changed) => {
    expect(hashOf(changed)).not.toBe(hashOf(buildWith(minimal)));
  });
});

describe('the user in values', () => {
  const config = configWithLab(`
args: [start, "--user={username}"]
env: { WHO: "{unescaped_username} <{email}>" }
workingDir: /work/{username}
volumes: [{ name: home, nfs: { server: nfs, path: "/homes/{username}" } }]
volumeMounts: [{ name: home, mountPath: "/home/{username}", subPath: "{escaped_username}/x" }]
initContainers: [{ name: i, image: i, args: ["{uid}"], volumeMounts: [{ name: home, mountPath: /h, subPath: "{slug}" }] }]
serviceAccount: { name: "{username}", annotations: { example.org/role: "role-{username}" } }
extraLabels: { who: "{username}" }
extraAnnotations: { who: "{unescaped_username}" }
namespaceAnnotations: { range: "{uid}/1" }
`);
  const user = { username: 'Ada@example.org', email: 'ada@example.org' };
  const safe = 'ada-example-org---3b518a08';

  it('stands in the pod wherever the configuration says so', () => {
    const objects = buildWith(config, { user });
    expect(objects.pod.spec).toMatchObject({
      serviceAccountName: safe,
      volumes: expect.arrayContaining([{ name: 'home', nfs: { server: 'nfs', path: `/homes/${safe}` } }]) as unknown,
      containers: [{ args: ['start', `--user=${safe}`], workingDir: `/work/${safe}` }],
      initContainers: [{ args: ['1101'] }],
    });
    const { containers, initContainers } = objects.pod.spec!;
    const mount = { mountPath: `/home/${safe}`, subPath: '-41da-40example-2eorg/x' };
    expect(containers[0]?.volumeMounts?.[0]).toMatchObject(mount);
    expect(initContainers?.[0]?.volumeMounts?.[0]?.subPath).toMatch(/^ada-example-org---[0-9a-f]{16}$/);
    expect(environmentOf(objects)).toMatchObject({ WHO: 'Ada@example.org <ada@example.org>' });
  });

  it('stands in names, labels and annotations', () => {
    const { pod, serviceAccount, namespace } = buildWith(config, { user });
    expect(serviceAccount?.metadata).toMatchObject({ name: safe, annotations: { 'example.org/role': `role-${safe}` } });
    expect(pod.metadata).toMatchObject({
      labels: { who: safe, app: 'jupyterhub', component: 'singleuser-server' },
      annotations: { who: 'Ada@example.org', 'hub.jupyter.org/username': 'Ada@example.org' },
    });
    expect(namespace?.metadata?.annotations).toMatchObject({ range: '1101/1' });
  });

  it('is never that of another lab', () => {
    const config = configWithLab(
      'volumes: [{ name: v, emptyDir: {} }]\nvolumeMounts: [{ name: v, mountPath: /v, subPath: "{username}" }]',
    );
    const [ada, grace] = ['ada', 'grace'].map((username) => buildWith(config, { user: { username } }));
    const subPathOf = (objects?: LabObjects) => objects?.pod.spec?.containers[0]?.volumeMounts?.[0]?.subPath;
    expect([subPathOf(ada), subPathOf(grace)]).toEqual(['ada', 'grace']);
    expect(config.lab.volumeMounts[0]?.subPath).toBe('{username}');
  });
});

describe('the service account of a lab', () => {
  it('has tokens for others, in directories that the kubelet can renew', () => {
    const tokens = [
      '{ audience: sts.amazonaws.com, path: /var/run/aws/token }',
      '{ audience: vault, path: /var/run/site/vault, lifetime: 2h }',
      '{ audience: //iam.googleapis.com/x, path: /var/run/site/gcp }',
    ];
    const objects = buildWith(configWithLab(`serviceAccount: { tokens: [${tokens.join(', ')}] }`));
    const { pod, serviceAccount } = objects;
    expect(serviceAccount?.automountServiceAccountToken).toBe(false);
    const volumes = pod.spec?.volumes?.filter(({ projected }) => projected !== undefined);
    expect(volumes).toEqual([
      {
        name: 'lab-account-token-0',
        projected: {
          defaultMode: 0o444,
          sources: [{ serviceAccountToken: { audience: 'sts.amazonaws.com', expirationSeconds: 3600, path: 'token' } }],
        },
      },
      {
        name: 'lab-account-token-1',
        projected: {
          defaultMode: 0o444,
          sources: [
            { serviceAccountToken: { audience: 'vault', expirationSeconds: 7200, path: 'vault' } },
            { serviceAccountToken: { audience: '//iam.googleapis.com/x', expirationSeconds: 3600, path: 'gcp' } },
          ],
        },
      },
    ]);
    expect(mountsOf(objects)).toMatchObject({
      '/var/run/aws': 'lab-account-token-0',
      '/var/run/site': 'lab-account-token-1',
    });
  });
});

describe('the files of a lab', () => {
  it('may be data, bytes and programs', () => {
    const config = configWithLab(`
files:
  /etc/motd: hello
  /etc/jupyter/server.json: { json: { ContentsManager: { allow_hidden: true } } }
  /etc/site.yaml: { yaml: { a: [1, 2] } }
  /usr/local/bin/run: { text: "#!/bin/sh", mode: "0755" }
  /etc/key: { base64: AAEC, mode: "0400" }
`);
    const { files, pod } = buildWith(config);
    const at = (path: string) => files?.data?.[fileKey(path)];
    expect(at('/etc/motd')).toBe('hello');
    expect(JSON.parse(at('/etc/jupyter/server.json') ?? '')).toEqual({ ContentsManager: { allow_hidden: true } });
    expect(at('/etc/site.yaml')).toBe('a:\n  - 1\n  - 2\n');
    expect(files?.binaryData).toEqual({ [fileKey('/etc/key')]: 'AAEC' });
    const volume = pod.spec?.volumes?.find(({ name }) => name === 'lab-files');
    const modes = Object.fromEntries(volume?.configMap?.items?.map(({ key, mode }) => [key, mode]) ?? []);
    expect(modes).toEqual({
      passwd: undefined,
      group: undefined,
      [fileKey('/etc/motd')]: undefined,
      [fileKey('/etc/jupyter/server.json')]: undefined,
      [fileKey('/etc/site.yaml')]: undefined,
      [fileKey('/usr/local/bin/run')]: 0o755,
      [fileKey('/etc/key')]: 0o400,
    });
  });
});

describe('a sidecar', () => {
  const withSidecar = (text: string) =>
    configWithLab(`volumes: [{ name: v, emptyDir: {} }]\nsidecars: [{ name: db, image: db, ${text} }]`);

  it('runs as long as the lab, confined as it is, with the user in its values', () => {
    const config = withSidecar('args: ["{username}"], volumeMounts: [{ name: v, mountPath: /v }]');
    const { pod, namespace } = buildWith(config);
    expect(pod.spec?.initContainers).toEqual([
      {
        name: 'db',
        image: 'db',
        args: ['rachel'],
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
        restartPolicy: 'Always',
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: false,
        },
      },
    ]);
    expect(namespace?.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
  });

  it.each([
    ['securityContext: { runAsUser: 0, runAsNonRoot: false }', 'baseline'],
    ['securityContext: { capabilities: { add: [CHOWN], drop: [ALL] } }', 'baseline'],
    ['securityContext: { capabilities: { add: [NET_BIND_SERVICE], drop: [ALL] } }', 'restricted'],
    ['securityContext: { capabilities: { add: [SYS_ADMIN] } }', 'privileged'],
    ['securityContext: { privileged: true }', 'privileged'],
    ['ports: [{ containerPort: 80, hostPort: 80 }]', 'privileged'],
  ])('that asks for %s needs Pod Security %s', (text, level) => {
    const { namespace } = buildWith(withSidecar(text));
    expect(namespace?.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': level });
  });
});

describe('the last word of the configuration', () => {
  it('is laid over the pod, with lists merged by name', () => {
    const { spec } = buildWith(
      configWithLab(`
podPatch:
  hostAliases: [{ ip: 10.0.0.1, hostnames: ["{username}.example.org"] }]
  automountServiceAccountToken: null
  containers: [{ name: notebook, lifecycle: { preStop: { exec: { command: [sync] } } } }]
`),
    ).pod;
    expect(spec?.hostAliases).toEqual([{ ip: '10.0.0.1', hostnames: ['rachel.example.org'] }]);
    expect(spec).not.toHaveProperty('automountServiceAccountToken');
    expect(spec?.containers).toHaveLength(1);
    expect(spec?.containers[0]).toMatchObject({
      image: 'example.org/lab:1',
      lifecycle: { preStop: { exec: { command: ['sync'] } } },
    });
  });
});
