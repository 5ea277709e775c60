import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseArguments, runCommand } from '../../src/cli/index.ts';
import { parseConfig } from '../../src/config/index.ts';
import type { ImportReport } from '../../src/cli/import/findings.ts';
import { buildWith } from '../builder/cases.ts';
import { untold } from './importing.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'labwright-import-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** As a production hub has it: homes on one claim, files, a list of profiles, what administrators get. */
const VALUES = `
singleuser:
  cmd: [jupyterhub-singleuser]
  defaultUrl: /lab
  startTimeout: 600
  serviceAccountName: user-sa
  image: { name: quay.io/example/lab, tag: "1" }
  cpu: { guarantee: 0.05 }
  memory: { guarantee: 256M, limit: 1G }
  nodeSelector: { pool: users }
  extraEnv:
    SHELL: /bin/bash
    GREETING: "hello {username}"
    JUPYTERHUB_SINGLEUSER_APP: x
    KEY: { valueFrom: { secretKeyRef: { name: a, key: b } } }
  extraFiles:
    check: { mountPath: /mnt/check, mode: 493, stringData: "#!/bin/sh" }
    server.json: { mountPath: /etc/jupyter/server.json, data: { A: { b: true } } }
    plain: { mountPath: /etc/motd, stringData: hello }
  initContainers:
    - name: own-it
      image: busybox:1
      command: [chown, "1000", /home/jovyan]
      securityContext: { runAsUser: 0 }
      volumeMounts: [{ name: home, mountPath: /home/jovyan, subPath: "{username}" }]
  extraContainers:
    - { name: db, image: "mysql:8", volumeMounts: [{ name: home, mountPath: /var/lib/mysql, subPath: "db/{username}" }] }
  storage:
    type: static
    static: { pvcName: home-nfs, subPath: "{username}" }
    extraVolumes:
      a: { name: dev-shm, emptyDir: { medium: Memory } }
      b: { name: other, persistentVolumeClaim: { claimName: other } }
      c: { name: bucket, csi: { driver: s3.example.org } }
    extraVolumeMounts:
      a: { name: dev-shm, mountPath: /dev/shm }
      b: { name: home, mountPath: /home/jovyan/shared, subPath: _shared, readOnly: true }
      c: { name: other, mountPath: /other }
  networkPolicy: { egress: [{ ports: [{ port: 443, protocol: TCP }] }] }
  cloudMetadata: { blockWithIptables: false }
  profileList:
    - display_name: Choose
      default: true
      profile_options:
        image:
          display_name: Image
          choices:
            py: { display_name: Python, default: true, kubespawner_override: { image: "quay.io/example/py:1" } }
            r: { display_name: R, kubespawner_override: { image: rocker/binder, default_url: /rstudio } }
          unlisted_choice: { enabled: true, kubespawner_override: { image: "{value}" } }
        size:
          display_name: Size
          choices:
            small: { display_name: Small one, default: true, kubespawner_override: { mem_limit: 2G, mem_guarantee: 1G, cpu_limit: 1.25625 } }
            big:
              display_name: Big one
              allowed_groups: [staff]
              kubespawner_override:
                mem_limit: null
                mem_guarantee: 30G
                node_selector: { type: r5 }
                extra_resource_limits: { nvidia.com/gpu: "1" }
                strange_trait: 1
custom:
  singleuserAdmin:
    extraVolumeMounts:
      a: { name: home, mountPath: /home/jovyan/shared-readwrite, subPath: _shared }
cull: { timeout: 3600 }
hub:
  allowNamedServers: true
  config: { KubeSpawner: { slug_scheme: escape, working_dir: /home/jovyan, http_timeout: 120 } }
  extraConfig:
    hook: "c.KubeSpawner.modify_pod_hook = f"
    other: "c.JupyterHub.services = []"
`;

async function run(values: string, ...more: string[]) {
  const file = join(folder, 'values.yaml');
  const report = join(folder, 'report.json');
  await writeFile(file, values);
  const command = parseArguments(['import', 'z2jh', '-f', file, '--report', report, ...more]);
  if (command.command === 'serve') throw new Error('another command');
  const result = await runCommand(command);
  return { ...result, report: JSON.parse(await readFile(report, 'utf8')) as ImportReport };
}

describe('import z2jh', () => {
  it('writes a configuration that can be used, with all that hubs need', async () => {
    const { exitCode, stdout, stderr } = await run(VALUES, '--homes', 'nfs.example.org:/homes');
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain('needs a hand');
    const config = parseConfig(stdout);
    const profile = { name: 'choose', options: { image: { choice: 'r' }, size: { choice: 'small' } } };
    const objects = buildWith(config, { profile, overlays: ['admins'], user: { username: 'Ada' } });
    const { spec } = objects.pod;
    const [lab] = spec?.containers ?? [];
    const mounts = lab?.volumeMounts?.map(({ name, mountPath, subPath }) => [name, mountPath, subPath]);
    // The scheme of the hub is "escape": homes stay where they are.
    expect(mounts).toContainEqual(['home', '/home/jovyan', '-41da']);
    expect(mounts).toContainEqual(['home', '/home/jovyan/shared', '_shared']);
    expect(mounts).toContainEqual(['home', '/home/jovyan/shared-readwrite', '_shared']);
    expect(spec?.volumes).toContainEqual({ name: 'home', nfs: { server: 'nfs.example.org', path: '/homes' } });
    expect(spec?.volumes).toContainEqual({ name: 'bucket', csi: { driver: 's3.example.org' } });
    expect(spec?.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy])).toEqual([
      ['own-it', undefined],
      ['db', 'Always'],
    ]);
    expect(lab?.resources?.limits).toEqual({ cpu: '1257m', memory: '2Gi' });
    expect(lab?.workingDir).toBe('/home/jovyan');
  });

  it('makes profiles of profiles, with their options, choices, groups and settings', async () => {
    const { stdout, report } = await run(VALUES);
    const { images, lab } = parseConfig(stdout);
    expect(images.list).toMatchObject([{ reference: 'quay.io/example/lab:1' }]);
    expect(lab.sizes).toMatchObject([
      { name: 'default', lab: { unlimited: ['cpu'] }, cpuRequest: 0.05, memory: 2 ** 30 },
    ]);
    const [profile, ...others] = lab.profiles;
    expect(others).toEqual([]);
    expect(profile).toMatchObject({ name: 'choose', title: 'Choose', default: true });
    expect(profile?.options['image']).toEqual({
      title: 'Image',
      choices: [
        { name: 'py', title: 'Python', default: true, image: 'quay.io/example/py:1' },
        {
          name: 'r',
          title: 'R',
          image: 'rocker/binder:latest',
          lab: { defaultUrl: '/rstudio', imagePullPolicy: 'Always' },
        },
      ],
      writeIn: { image: '{value}' },
    });
    expect(profile?.options['size']?.choices).toEqual([
      {
        name: 'small',
        title: 'Small one',
        default: true,
        cpu: 1.257,
        cpuRequest: 0.05,
        memory: 2 * 2 ** 30,
        memoryRequest: 2 ** 30,
      },
      {
        name: 'big',
        title: 'Big one',
        groups: ['staff'],
        memoryRequest: 30 * 2 ** 30,
        extendedResources: { 'nvidia.com/gpu': '1' },
        lab: { nodeSelector: { type: 'r5' }, unlimited: ['cpu', 'memory'] },
      },
    ]);
    expect(report.mapped).toContainEqual({
      path: 'singleuser.profileList[0].profile_options.image.choices.r.kubespawner_override.image',
      to: 'lab.profiles[].options.image.choices[].image',
    });
  });

  it('keeps what several profiles say each on its own, and their write-ins and buildings', async () => {
    const profiles = [
      { display_name: 'Café: CPU', kubespawner_override: { mem_limit: '3G', image: 'a/b:1' } },
      {
        slug: 'gpu',
        display_name: 'GPU',
        default: true,
        allowed_groups: ['staff'],
        profile_options: {
          '1st': {
            display_name: 'Image',
            choices: {
              one: { display_name: 'One', kubespawner_override: { image: 'a/c:1' } },
              two: { display_name: 'Two', default: true, kubespawner_override: { image: 'a/b:1' } },
            },
            dynamic_image_building: { enabled: true },
            unlisted_choice: {
              enabled: true,
              display_name: 'Label',
              display_name_in_choices: 'Other',
              validation_regex: '^pangeo/',
              validation_message: 'One of pangeo',
              kubespawner_override: { image: 'pangeo/{value}', environment: { TAG: '{value}' } },
            },
          },
          old: {
            display_name: 'Old',
            choices: { 'a b': {} },
            unlisted_choice: {
              enabled: true,
              validation_regex: '(?P<a>b)',
              kubespawner_override: { image: '{value}' },
            },
          },
        },
      },
      { display_name: 'Café CPU' },
    ];
    const values = {
      singleuser: { image: { name: 'a/b', tag: 1 }, memory: { guarantee: '1G' }, profileList: profiles },
    };
    const { stdout, report } = await run(stringify(values));
    const { lab } = parseConfig(stdout);
    expect(lab.profiles.map(({ name }) => name)).toEqual(['cafe-cpu', 'gpu', 'cafe-cpu-2']);
    expect(lab.profiles[0]).toMatchObject({ memory: 3 * 2 ** 30, memoryRequest: 2 ** 30, image: 'a/b:1' });
    expect(lab.profiles[1]?.options['option-1st']).toMatchObject({
      choices: [{ name: 'one' }, { name: 'two', default: true }],
      writeIn: {
        title: 'Other',
        pattern: '(?:^pangeo/).*',
        message: 'One of pangeo',
        image: 'pangeo/{value}',
        lab: { env: { TAG: '{value}' } },
      },
      repository: {},
    });
    expect(lab.profiles[1]?.options['old']?.choices).toMatchObject([{ name: 'a-b', title: 'a b' }]);
    expect(report.lost.map(({ path }) => path)).toEqual([
      'singleuser.profileList[1].profile_options.old.unlisted_choice.validation_regex',
    ]);
  });

  it('pulls images ahead where the chart was told to, and says what that needs', async () => {
    const base = 'singleuser: { image: { name: quay.io/example/lab, tag: "1" } }\n';
    const on = await run(`${base}prePuller: { hook: { enabled: false }, continuous: { enabled: true } }\n`);
    expect(parseConfig(on.stdout).images.prepull).toBeDefined();
    expect(on.report.remarked).toContainEqual({
      path: 'prePuller.continuous.enabled',
      to: 'images.prepull',
      why: expect.stringContaining('deploy/kubernetes-prepull') as string,
    });
    const off = await run(`${base}prePuller: { hook: { enabled: false }, continuous: { enabled: false } }\n`);
    expect(parseConfig(off.stdout).images.prepull).toBeUndefined();
    expect(parseConfig((await run(base)).stdout).images.prepull).toBeUndefined();
  });

  it('says what became of every value, and drops none', async () => {
    const { report, stderr } = await run(VALUES);
    expect(untold(VALUES, report)).toEqual([]);
    expect(report.lost.map(({ path }) => path).sort()).toEqual([
      'hub.extraConfig.hook',
      'singleuser.extraEnv.JUPYTERHUB_SINGLEUSER_APP',
      'singleuser.profileList[0].profile_options.size.choices.big.kubespawner_override.strange_trait',
    ]);
    expect(report.hub.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'cull.timeout',
        'hub.allowNamedServers',
        'hub.extraConfig.other',
        'singleuser.defaultUrl',
      ]),
    );
    expect(stderr).toContain('hub.extraConfig.hook: Python that sets or reads KubeSpawner, modify_pod_hook');
  });

  it('writes every patch of the pod, and all that administrators get', async () => {
    const values = `
singleuser:
  image: { name: a/b, tag: "1" }
  lifecycleHooks: { postStart: { exec: { command: [sync] } } }
  extraEnv: { A: chart }
  storage: { type: none, extraVolumes: [{ name: bucket, csi: { driver: s3 } }] }
hub: { config: { KubeSpawner: { environment: { B: trait }, extra_pod_config: { hostname: lab } } } }
custom:
  admin: { extraEnv: { C: one } }
  singleuserAdmin: { extraEnv: { D: two }, extraVolumes: [{ name: more, csi: { driver: s3 } }] }
`;
    const { lab, overlays } = parseConfig((await run(values)).stdout);
    expect(lab.env).toEqual({ A: 'chart', B: 'trait' });
    expect(lab.podPatch).toEqual({
      volumes: [{ name: 'bucket', csi: { driver: 's3' } }],
      containers: [{ name: 'notebook', lifecycle: { postStart: { exec: { command: ['sync'] } } } }],
      hostname: 'lab',
    });
    expect(overlays.map(({ lab: over }) => over)).toEqual([
      { env: { C: 'one', D: 'two' }, podPatch: { volumes: [{ name: 'more', csi: { driver: 's3' } }] } },
    ]);
  });

  it('puts labs where their claims are, with the names that KubeSpawner gives, unless an export is named', async () => {
    const { stdout, report } = await run(VALUES);
    const config = parseConfig(stdout, 'imported');
    expect(config.lab).toMatchObject({
      namespaces: 'shared',
      namespace: 'jupyterhub',
      // The scheme of the hub is "escape".
      podName: 'jupyter-{escaped_user_server}',
      serviceAccount: { name: 'user-sa' },
      extraLabels: { 'hub.jupyter.org/network-access-hub': 'true' },
    });
    const { pod } = buildWith(config, { user: { username: 'ada@x' } });
    expect(pod.metadata).toMatchObject({ name: 'jupyter-ada-40x', namespace: 'jupyterhub' });
    expect(pod.spec?.volumes).toContainEqual({ name: 'home', persistentVolumeClaim: { claimName: 'home-nfs' } });
    expect(pod.spec?.volumes).toContainEqual({ name: 'other', persistentVolumeClaim: { claimName: 'other' } });
    expect(report.lost.map(({ path }) => path)).not.toContain('singleuser.storage.extraVolumes.b');
  });

  it('takes over the claims that KubeSpawner has made', async () => {
    const { stdout } = await run('singleuser: { storage: { capacity: 5Gi } }');
    const { pod, volumeClaims } = buildWith(parseConfig(stdout, 'imported'), { user: { username: 'ada' } });
    expect(volumeClaims[0]?.metadata).toMatchObject({ name: 'claim-ada', namespace: 'jupyterhub' });
    expect(pod.spec?.volumes).toContainEqual({ name: 'home', persistentVolumeClaim: { claimName: 'claim-ada' } });
  });

  it.each([
    ['type: none', []],
    ['type: dynamic, capacity: 5Gi, dynamic: { storageClass: fast }', ['persistentVolumeClaim']],
    ['capacity: 5Gi', ['persistentVolumeClaim']],
  ])('knows the kinds of storage: %s', async (storage, sources) => {
    const values = `singleuser: { image: { name: a/b, tag: "1" }, storage: { ${storage} }, uid: 1001, fsGid: 101 }`;
    const { stdout, stderr, report } = await run(values);
    expect(stderr).not.toContain('needs a hand');
    expect(report.lost).toEqual([]);
    const config = parseConfig(stdout);
    expect(config.users.defaults).toMatchObject({ uid: 1001, gid: 101 });
    expect(config.lab.volumes.flatMap((volume) => Object.keys(volume).filter((key) => key !== 'name'))).toEqual(
      sources,
    );
  });

  it('reads several files as Helm does', async () => {
    const second = join(folder, 'second.yaml');
    await writeFile(second, stringify({ singleuser: { memory: { limit: '3G' }, extraEnv: { SHELL: null, B: 'c' } } }));
    const { lab } = parseConfig(
      (await run(VALUES.replace(/ {2}profileList:[^]*?(?=custom:)/, ''), '-f', second)).stdout,
    );
    expect(lab.env).toMatchObject({ B: 'c' });
    expect(lab.env).not.toHaveProperty('SHELL');
    expect(lab.sizes).toMatchObject([{ name: 'default', memory: 3 * 2 ** 30 }]);
  });

  it('refuses what it cannot read', async () => {
    expect(await run('- 1')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('holds no values') as string,
    });
    expect(() => parseArguments(['import', 'kustomize', '-f', 'x'])).toThrow('expected z2jh, nublado, binderhub');
    expect(() => parseArguments(['import', 'z2jh'])).toThrow('expected -f FILE');
    expect(() => parseArguments(['import', 'z2jh', '-f', 'x', '--homes', 'nfs'])).toThrow('expected SERVER:/PATH');
    const command = parseArguments(['import', 'z2jh', '-f', join(folder, 'none.yaml')]);
    if (command.command === 'serve') throw new Error('another command');
    expect(await runCommand(command)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('cannot be read') as string,
    });
  });
});
