import { stringify } from 'yaml';
import { waitFor } from '../../support/wait-for.ts';
import { CONTROLLER_NAMESPACE, type Deployment, HUB_NAMESPACE } from './deployment.ts';

export interface ControllerSettings {
  readonly image: string;
  readonly labImage: string;
  /** Address of the hub's proxy. */
  readonly publicUrl: string;
  /** Begins the names of the labs' namespaces. */
  readonly prefix: string;
  /** Token of the service `labwright` at the hub. */
  readonly serviceToken: string;
}

/** The controller of a run, deployed as deploy/kubernetes says, and known to the hub as a service behind its proxy. */
export interface Controller {
  /** Ends it at once; resolves when the next one answers. */
  kill(): Promise<void>;
  log(): Promise<string>;
  remove(): Promise<void>;
}

/** Path of a service behind the hub's proxy. */
export const PATH_PREFIX = '/services/labwright';
const SELECTOR = 'app.kubernetes.io/name=labwright';
const PULL_ALWAYS = {
  ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'labwright' } },
  spec: { template: { spec: { containers: [{ name: 'labwright', imagePullPolicy: 'Always' }] } } },
};
const SIZE = { cpuRequest: '50m', memoryRequest: '128Mi' };

/** Installs it, and waits until it is ready. */
export async function installController(deployment: Deployment, settings: ControllerSettings): Promise<Controller> {
  const config = {
    baseUrl: settings.publicUrl,
    pathPrefix: PATH_PREFIX,
    auth: {
      serviceAccounts: { hub: [`${HUB_NAMESPACE}/hub`] },
      jupyterhub: {
        apiUrl: `http://hub.${HUB_NAMESPACE}.svc:8081/hub/api`,
        tokenFile: '/etc/labwright/service-token',
        login: {},
      },
    },
    users: { defaults: { uid: 1000, gid: 1000 } },
    images: { list: [{ reference: settings.labImage, name: 'JupyterLab', class: 'recommended' }], allowOther: true },
    lab: {
      ...{ namespacePrefix: settings.prefix, namespaceRetention: '15s', failedRetention: '20s' },
      sizes: [
        { name: 'small', cpu: 1, memory: '1Gi', ...SIZE },
        { name: 'large', cpu: 2, memory: '2Gi', ...SIZE },
      ],
      token: { source: 'signed' },
    },
  };
  await deployment.apply(
    'kubernetes',
    {
      images: [{ name: 'registry.example.org/labwright', newName: settings.image.replace(/:\w+$/, ''), newTag: '1' }],
      namespace: CONTROLLER_NAMESPACE,
      // Each run pushes its own image under the same name.
      patches: [{ patch: JSON.stringify(PULL_ALWAYS) }],
      configMapGenerator: [{ name: 'labwright', behavior: 'merge', files: ['config.yaml', 'service-token'] }],
    },
    { 'config.yaml': stringify(config), 'service-token': settings.serviceToken },
  );
  const rollout = () =>
    deployment.kubectl('-n', CONTROLLER_NAMESPACE, 'rollout', 'status', 'deploy/labwright', '--timeout=120s');
  await rollout();
  const logs: string[] = [];
  const readLog = () => deployment.kubectl('-n', CONTROLLER_NAMESPACE, 'logs', '-l', SELECTOR, '--tail=-1');
  return {
    async kill() {
      logs.push(await readLog().catch(() => ''));
      await deployment.killPods(CONTROLLER_NAMESPACE, SELECTOR);
      await waitFor(
        'a new controller',
        60_000,
        () =>
          rollout().then(
            () => true as const,
            () => undefined,
          ),
        200,
      );
    },
    log: async () => [...logs, await readLog()].join(''),
    remove: async () => {
      await deployment.kubectl('delete', 'namespace', CONTROLLER_NAMESPACE, '--wait=false');
      await deployment.kubectl('delete', 'clusterrole,clusterrolebinding', 'labwright');
    },
  };
}
