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
    const objects = buildWith(config, { size: 'small', overlays: ['admins'], user: { username: 'Ada' } });
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

  it('makes sizes and images of profiles, with their groups and settings', async () => {
    const { stdout } = await run(VALUES);
    const { images, lab } = parseConfig(stdout);
    expect(images).toMatchObject({
      allowOther: true,
      list: [
        { reference: 'quay.io/example/py:1', name: 'Python' },
        { reference: 'rocker/binder:latest', name: 'R', lab: { defaultUrl: '/rstudio' } },
      ],
    });
    expect(lab.defaultSize).toBe('small');
    expect(lab.sizes).toMatchObject([
      { name: 'small', title: 'Small one', memory: 2 * 2 ** 30, memoryRequest: 2 ** 30 },
      {
        name: 'big',
        groups: ['staff'],
        memory: 30 * 2 ** 30,
        extendedResources: { 'nvidia.com/gpu': '1' },
        lab: { nodeSelector: { type: 'r5' } },
      },
    ]);
  });

  it('says what became of every value, and drops none', async () => {
    const { report, stderr } = await run(VALUES);
    expect(untold(VALUES, report)).toEqual([]);
    expect(report.lost.map(({ path }) => path).sort()).toEqual([
      'hub.extraConfig.hook',
      'singleuser.extraEnv.JUPYTERHUB_SINGLEUSER_APP',
      'singleuser.extraEnv.KEY',
      'singleuser.profileList[0].profile_options.size.choices.big.kubespawner_override.strange_trait',
      'singleuser.storage.extraVolumeMounts.c',
      'singleuser.storage.extraVolumes.b',
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

  it('says where homes have to be named, and names a place that nobody can mount', async () => {
    const { stdout, report } = await run(VALUES);
    expect(report.remarked.map(({ why }) => why)).toContainEqual(expect.stringContaining('--homes SERVER:/PATH'));
    expect(stdout).toContain('server: say-where.invalid');
    expect(stdout).toMatch(/# a claim is not mounted from another namespace: say which export/);
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
