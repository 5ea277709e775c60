import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';
import { BINDERHUB_VALUES, HUB_VALUES } from './import-samples.ts';
import { runImport, untold } from './importing.ts';

describe('import binderhub', () => {
  it('makes builds of what BinderHub builds with, and labs of what its hub has', async () => {
    const { stdout, stderr } = await runImport('binderhub', BINDERHUB_VALUES);
    expect(stderr).not.toContain('needs a hand');
    const { builds, lab } = parseConfig(stdout);
    expect(builds).toMatchObject({
      registry: { host: 'gcr.io', credentials: 'registry-push' },
      naming: { scheme: 'binderhub', prefix: 'binder/r2d-' },
      builder: { appendix: 'USER root' },
      pod: {
        cpu: 2,
        memory: 3 * 2 ** 30,
        cpuRequest: 0.5,
        memoryRequest: 2 ** 30,
        nodeSelector: { pool: 'builds' },
        env: { HTTPS_PROXY: 'http://proxy' },
        placement: 'sticky',
      },
      queue: { running: 12 },
      deadlines: { total: 7_200_000 },
      repositories: {
        providers: ['gh'],
        denied: ['^(?:mallory\\/.*)', '^(?:spam(?<x>.))'],
        gitlab: { url: 'https://git.example.org' },
        credentials: [{ url: 'https://github.com', secret: 'git-credentials-github-com' }],
      },
    });
    expect(lab.sizes).toMatchObject([{ name: 'default', memory: 2 * 2 ** 30 }]);
  });

  it('says what became of every value, and repeats no secret', async () => {
    const { report, stdout, stderr, hubText } = await runImport('binderhub', BINDERHUB_VALUES);
    expect(untold(BINDERHUB_VALUES, report)).toEqual([]);
    expect(report.lost.map(({ path }) => path).sort()).toEqual([
      'config.BinderHub.banner_message',
      'config.BinderHub.per_repo_quota',
      'config.BinderHub.repo_providers.fig',
      'config.GitHubRepoProvider.banned_specs[2]',
      'config.GitHubRepoProvider.spec_config',
      'config.LaunchQuota',
      'extraConfig.mine',
      'jupyterhub.hub.extraConfig.00-binder',
    ]);
    expect(`${stdout}${stderr}${hubText}${JSON.stringify(report)}`).not.toContain('sesame');
    expect(stderr).toContain('extraConfig.mine: Python that sets c.BinderHub.build_class');
  });

  it('leaves values for the chart of the hub alone', async () => {
    const { hubValues, hubText } = await runImport('binderhub', BINDERHUB_VALUES);
    expect(hubValues).toMatchObject({
      hub: { services: { binder: { apiToken: 'of-the-hub' } }, config: { JupyterHub: { spawner_class: 'labwright' } } },
    });
    expect(Object.keys(hubValues)).not.toContain('config');
    expect(hubText).toContain('#   jupyterhub.hub.extraConfig.00-binder');
  });

  it('switches off binderhub-service where it is a part of another chart', async () => {
    const values = `
binderhub-service:
  enabled: true
  config:
    BinderHub: { base_url: /services/binder, image_prefix: "quay.io/example/", port: 8585 }
    KubernetesBuildExecutor: { memory_limit: 4G }
  dockerApi: { resources: {}, extraArgs: [--mtu=1400] }
  buildPodsRegistryCredentials: { server: quay.io, username: robot, password: sesame }
  extraConfig: { 01-build-pods-docker-config: x }
  networkPolicy: { enabled: false }
jupyterhub:${HUB_VALUES}`;
    const { stdout, stderr, report, hubValues } = await runImport('binderhub', values);
    expect(stderr).not.toContain('needs a hand');
    expect(untold(values, report)).toEqual([]);
    expect(report.lost.map(({ path }) => path)).toEqual(['jupyterhub.hub.extraConfig.00-binder']);
    expect(parseConfig(stdout).builds).toMatchObject({
      registry: { host: 'quay.io' },
      pod: { memory: 4 * 2 ** 30 },
      networkPolicy: { enabled: false },
    });
    expect(hubValues).toMatchObject({
      'binderhub-service': { enabled: false },
      jupyterhub: { hub: { config: { LabwrightSpawner: {} } } },
    });
  });
});
