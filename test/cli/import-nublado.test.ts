import { expect, describe, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';
import { buildWith } from '../builder/cases.ts';
import { NUBLADO_VALUES } from './import-samples.ts';
import { runImport, untold } from './importing.ts';

describe('import nublado', () => {
  it('writes a configuration that makes the labs of the site', async () => {
    const { stdout, stderr } = await runImport('nublado', NUBLADO_VALUES);
    expect(stderr).not.toContain('needs a hand');
    const config = parseConfig(stdout);
    expect(config).toMatchObject({
      baseUrl: 'https://data.example.org',
      pathPrefix: '/nublado',
      logLevel: 'warn',
      auth: { proxyHeaders: { userInfoUrl: 'https://data.example.org/auth/api/v1/user-info' } },
    });
    expect(config.lab).toMatchObject({
      defaultSize: 'large',
      sizes: [
        { name: 'small', cpu: 1, memory: 4 * 2 ** 30, cpuRequest: 0.25, memoryRequest: 0.75 * 2 ** 30 },
        { name: 'large', cpu: 4, cpuRequest: 0.5 },
      ],
      spawnTimeout: 600_000,
      namespacePrefix: 'nublado',
      namespaceAnnotations: { 'openshift.io/sa.scc.uid-range': '{uid}/1' },
    });
    const { pod } = buildWith(config, { size: 'large', user: { username: 'rachel' } });
    const [lab] = pod.spec?.containers ?? [];
    expect(lab).toMatchObject({ args: ['/opt/lab/run.sh'], workingDir: '/home/r/rachel' });
    expect(lab?.volumeMounts).toContainEqual({ name: 'home', mountPath: '/home' });
    expect(pod.spec?.volumes).toContainEqual({ name: 'home', nfs: { server: 'nfs.example.org', path: '/jhome' } });
    expect(pod.metadata?.labels).toMatchObject({ 'argocd.argoproj.io/instance': 'nublado-users' });
    // Those of the site stand between those that Nublado runs by itself.
    expect(pod.spec?.initContainers?.map(({ name, image }) => [name, image])).toEqual([
      ['lab-discovery', 'ghcr.io/example/nublado:9.1'],
      ['nublado-std-inithome', 'ghcr.io/example/nublado:9.1'],
      ['prepare', 'ghcr.io/example/prepare:2'],
      ['nublado-std-landingpage', 'ghcr.io/example/nublado:9.1'],
      ['nublado-std-startup', 'ghcr.io/example/nublado:9.1'],
    ]);
  });

  it('has Argo CD leave labs alone that carry the label of an application', async () => {
    const { stdout } = await runImport('nublado', NUBLADO_VALUES);
    const { namespace, pod } = buildWith(parseConfig(stdout));
    for (const { metadata } of [namespace ?? {}, pod]) {
      expect(metadata).toMatchObject({
        labels: { 'argocd.argoproj.io/instance': 'nublado-users' },
        annotations: {
          'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
          'argocd.argoproj.io/sync-options': 'Prune=false',
        },
      });
    }
  });

  it('tells labs of the service discovery of the site, and asks it before each lab', async () => {
    const { stdout } = await runImport('nublado', NUBLADO_VALUES);
    const { initContainers, containers } = buildWith(parseConfig(stdout)).pod.spec ?? {};
    expect(parseConfig(stdout).lab.env).toMatchObject({ REPERTOIRE_BASE_URL: 'https://data.example.org/repertoire' });
    const directory = { name: 'lab-discovery', mountPath: '/etc/nublado/discovery' };
    expect(initContainers?.[0]?.volumeMounts).toContainEqual(directory);
    expect(initContainers?.at(-1)?.volumeMounts).toContainEqual({ ...directory, readOnly: true });
    expect(containers?.[0]?.volumeMounts).toContainEqual({ ...directory, readOnly: true });
  });

  it('finds images where Nublado finds them, by the same rules', async () => {
    const { stdout, report } = await runImport('nublado', NUBLADO_VALUES);
    expect(parseConfig(stdout).images).toMatchObject({
      list: [],
      sources: [
        {
          artifactRegistry: { location: 'us-central1', project: 'rubin', repository: 'sciplat', image: 'sciplat-lab' },
          tags: {
            grammar: 'rubin',
            recommended: 'recommended',
            pinned: ['r29_2_0'],
            kinds: { release: { wanted: 1 }, weekly: { wanted: 2, listed: 78 }, daily: { wanted: 3 } },
          },
        },
      ],
    });
    expect(report.lost.filter(({ path }) => path.includes('.images.'))).toEqual([]);
  });

  it('says where a file of labs holds a private key', async () => {
    const values = NUBLADO_VALUES.replace('"b = c"', '"-----BEGIN RSA PRIVATE KEY-----"');
    const { report } = await runImport('nublado', values);
    expect(report.remarked).toContainEqual({
      path: 'controller.config.lab.files["/opt/conf/a.cfg"]',
      to: 'lab.files',
      why: expect.stringContaining('a private key') as string,
    });
  });

  it('says what became of every value, and drops none', async () => {
    const { report } = await runImport('nublado', NUBLADO_VALUES);
    expect(untold(NUBLADO_VALUES, report)).toEqual([]);
    expect(report.lost.map(({ path }) => path).sort()).toEqual([
      'controller.config.fileserver',
      'controller.config.surprise',
      'controller.slackAlerts',
    ]);
  });

  it('leaves the hub what is its own, and tells its spawner where Labwright is', async () => {
    const { hubValues } = await runImport('nublado', NUBLADO_VALUES);
    expect(hubValues).toEqual({
      global: { baseUrl: 'https://data.example.org/' },
      jupyterhub: {
        hub: {
          db: { type: 'postgres' },
          extraConfig: {
            'zz-labwright': 'c.NubladoSpawner.repertoire_base_url = "https://data.example.org/nublado"\n',
          },
        },
      },
    });
  });

  it('reads the configuration of the controller alone, too, and does what Nublado does where it says nothing', async () => {
    const { stdout } = await runImport(
      'nublado',
      'images: { source: { type: docker, repository: a/b } }\nlab: { sizes: [{ size: a, resources: { limits: { cpu: 1, memory: 1Gi } } }] }\n',
    );
    const { images, lab } = parseConfig(stdout);
    expect(images.sources).toMatchObject([
      { repository: 'docker.io/a/b', tags: { grammar: 'rubin', recommended: 'recommended' } },
    ]);
    expect(lab).toMatchObject({
      tmp: { medium: 'memory' },
      home: { prefix: '/home' },
      runtimeMountsDir: '/etc/nublado',
    });
  });
});
