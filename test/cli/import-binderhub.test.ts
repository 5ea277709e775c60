import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';
import { runImport, untold } from './importing.ts';

const HUB = `
  singleuser: { memory: { guarantee: 1G, limit: 2G }, storage: { type: none } }
  hub:
    services: { binder: { apiToken: of-the-hub } }
    extraConfig: { 00-binder: "class BinderSpawner(KubeSpawner): pass" }
`;
/** Values of the chart BinderHub. */
const VALUES = `
config:
  BinderHub:
    use_registry: true
    image_prefix: gcr.io/binder/r2d-
    build_memory_limit: 3G
    build_image: quay.io/jupyterhub/repo2docker:2024.07.0
    per_repo_quota: 100
    concurrent_build_limit: 12
    build_max_age: 7200
    sticky_builds: true
    hub_url: https://hub.example.org
    repo_providers: { gh: binderhub.repoproviders.GitHubRepoProvider, fig: binderhub.repoproviders.FigshareProvider }
    appendix: USER root
    banner_message: hello
  GitHubRepoProvider:
    access_token: sesame-git
    banned_specs: ["^mallory/.*", "(?i)spam(?P<x>.)", "(?P=broken"]
    spec_config: [{ pattern: "^a/.*", config: { quota: 3 } }]
  GitLabRepoProvider: { hostname: git.example.org }
  LaunchQuota: { total_quota: 300 }
  KubernetesBuildExecutor:
    docker_host: /var/run/x
    extra_envs: { HTTPS_PROXY: "http://proxy" }
    resources: { limits: { cpu: "2" }, requests: { cpu: 500m, memory: 1Gi } }
    node_selector: { pool: builds }
registry: { url: "https://gcr.io", username: _json, password: sesame-registry }
dind: { enabled: true }
imageCleaner: { enabled: true }
replicas: 2
extraConfig: { mine: "c.BinderHub.build_class = X" }
jupyterhub:${HUB}`;

describe('import binderhub', () => {
  it('makes builds of what BinderHub builds with, and labs of what its hub has', async () => {
    const { stdout, stderr } = await runImport('binderhub', VALUES);
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
    const { report, stdout, stderr, hubText } = await runImport('binderhub', VALUES);
    expect(untold(VALUES, report)).toEqual([]);
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
    const { hubValues, hubText } = await runImport('binderhub', VALUES);
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
jupyterhub:${HUB}`;
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
