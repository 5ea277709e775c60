import { describe, expect, it } from 'vitest';
import { sandboxConfig } from '../../src/config/index.ts';

const START = { host: '127.0.0.1', port: 8080, userToken: 'user', hubToken: 'hub' };

describe('the configuration of the sandbox with local labs', () => {
  const config = sandboxConfig({ ...START, localLabs: { uid: 1234, gid: 567 } });

  it('has one image, which stands for what is installed on the machine', () => {
    expect(config.images).toMatchObject({
      list: [{ reference: 'localhost/jupyterlab:local', name: 'JupyterLab of this machine', class: 'recommended' }],
      allowOther: false,
    });
  });

  it('knows every user, with the ids of the account that started it', () => {
    expect(config.users.defaults).toEqual({ uid: 1234, gid: 567, groups: [] });
  });

  it('has the sizes of the sandbox, waits two minutes for a lab and reaches it at the address of its pod', () => {
    expect(config.lab.sizes).toEqual(sandboxConfig(START).lab.sizes);
    expect(config.lab).toMatchObject({ spawnTimeout: 120_000, internalUrl: 'podIp', args: ['jupyterhub-singleuser'] });
  });

  it('gives users other ids than those of root, and tells the server of the lab that it may run as root', () => {
    const asRoot = sandboxConfig({ ...START, localLabs: { uid: 0, gid: 0 } });
    expect(asRoot.users.defaults).toEqual({ uid: 1000, gid: 1000, groups: [] });
    expect(asRoot.lab.args).toEqual(['jupyterhub-singleuser', '--allow-root']);
  });
});

describe('the configuration of the sandbox with its registry and Git host', () => {
  const builds = { registry: '127.0.0.1:5000', gitHost: '127.0.0.1:3000' };

  it('builds from the one to the other, which is nowhere but on this machine', () => {
    expect(sandboxConfig({ ...START, builds }).builds).toMatchObject({
      registry: { host: '127.0.0.1:5000', url: 'http://127.0.0.1:5000', insecure: true },
      repositories: { privateHosts: ['127.0.0.1:3000'] },
    });
  });

  it('builds nothing where there are none', () => {
    expect(sandboxConfig(START).builds).toBeUndefined();
  });
});
