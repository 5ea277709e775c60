import { createHash } from 'node:crypto';
import type { Config } from './config.ts';
import { buildConfig } from './load.ts';

/** What a start without a configuration file needs to know. */
export interface SandboxSettings {
  readonly host: string;
  readonly port: number;
  /** Tokens made for this start, in clear; they are printed for the person who started it. */
  readonly userToken: string;
  readonly hubToken: string;
  /** Labs are processes of this account. */
  readonly localLabs?: Account | undefined;
  /** Where images are built to and from, `127.0.0.1:5000` and `127.0.0.1:3000`; nothing is built when absent. */
  readonly builds?: { readonly registry: string; readonly gitHost: string } | undefined;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Labs of the sandbox with its simulated kubelet: any of these names will do, nothing is pulled. */
const SIMULATED = {
  images: {
    list: [
      { reference: 'quay.io/jupyter/base-notebook:latest', name: 'Jupyter', class: 'recommended' as const },
      { reference: 'quay.io/jupyter/scipy-notebook:latest', name: 'Jupyter with SciPy' },
    ],
    allowOther: true,
  },
};

/** Labs that are processes: one image, which stands for what is installed here, and any user, all with one account's ids. */
function processes({ uid, gid }: Account) {
  const isRoot = uid === 0;
  return {
    // A lab's user must not be root. The process is whoever started Labwright, whatever is written here.
    users: { defaults: isRoot ? { uid: 1000, gid: 1000 } : { uid, gid } },
    images: {
      list: [
        { reference: 'localhost/jupyterlab:local', name: 'JupyterLab of this machine', class: 'recommended' as const },
      ],
    },
    lab: {
      spawnTimeout: '2m',
      // Jupyter's server wants to hear from root that it is meant.
      args: ['jupyterhub-singleuser', ...(isRoot ? ['--allow-root'] : [])],
    },
  };
}

/** Builds of the sandbox: its kubelet plays one that was recorded, whatever the image of the builder is called. */
function played({ registry, gitHost }: NonNullable<SandboxSettings['builds']>) {
  return {
    registry: { host: registry, url: `http://${registry}`, insecure: true },
    repositories: { privateHosts: [gitHost] },
    builder: { image: 'localhost/repo2docker:played' },
  };
}

/** The configuration of `npm start` without a file: everything on this machine, for trying it. */
export function sandboxConfig({ host, port, userToken, hubToken, localLabs, builds }: SandboxSettings): Config {
  const { lab, ...more } = localLabs === undefined ? { ...SIMULATED, lab: {} } : processes(localLabs);
  return buildConfig({
    listen: { host, port },
    baseUrl: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    auth: {
      tokens: [
        {
          role: 'user',
          sha256: sha256(userToken),
          user: { username: 'ada', name: 'Ada Lovelace', uid: 1000, gid: 1000, groups: [{ name: 'ada', id: 1000 }] },
        },
        { role: 'hub', sha256: sha256(hubToken) },
      ],
    },
    ...more,
    ...(builds === undefined ? {} : { builds: played(builds) }),
    lab: {
      sizes: [
        { name: 'small', cpu: 1, memory: '2Gi', cpuRequest: '250m', memoryRequest: '512Mi' },
        { name: 'medium', cpu: 2, memory: '4Gi', cpuRequest: '500m', memoryRequest: '1Gi' },
        { name: 'large', cpu: 4, memory: '8Gi', cpuRequest: 1, memoryRequest: '2Gi' },
      ],
      // The kubelet gives each pod an address of its own on loopback; there is no DNS for Services.
      internalUrl: 'podIp',
      ...lab,
    },
  });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
