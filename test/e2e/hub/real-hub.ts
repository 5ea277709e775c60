import { randomBytes } from 'node:crypto';
import { canary } from '../../support/canary.ts';
import { waitFor } from '../../support/wait-for.ts';
import { PATH_PREFIX } from './controller.ts';
import { CONTROLLER_NAMESPACE, type Deployment, deployFile, HUB_NAMESPACE } from './deployment.ts';
import { HubApi } from '../../support/hub-api.ts';

/** A real JupyterHub and its proxy, deployed as deploy/jupyterhub/cluster says. */
export interface RealHub {
  /** Address of the proxy. */
  readonly url: string;
  /** With it anybody can log in. */
  readonly password: string;
  /** Token of Labwright as a service of this hub. */
  readonly serviceToken: string;
  readonly api: HubApi;
  /** Resolves when it answers: it looks for its services first, and waits for those that are not there. */
  ready(): Promise<void>;
  /** Ends the hub's pod at once; resolves when the next one answers. The proxy stays. */
  restart(): Promise<void>;
  log(): Promise<string>;
  remove(): Promise<void>;
}

const SELECTOR = 'app=jupyterhub,component=hub';

/** What a run has beyond the manifests' own configuration. */
const MORE_CONFIG = (driverToken: string): string => `
c.JupyterHub.services.append({"name": "driver", "api_token": "${driverToken}"})
c.JupyterHub.load_roles.append(
    {"name": "driver", "services": ["driver"], "scopes": ["admin:users", "admin:servers", "list:users"]}
)
`;

/** Installs it. */
export async function installHub(deployment: Deployment, image: string): Promise<RealHub> {
  const secret = (): string => canary(randomBytes(16).toString('hex'));
  const [password, serviceToken, driverToken] = [secret(), secret(), secret()];
  const kubectl = (...args: string[]) => deployment.kubectl('-n', HUB_NAMESPACE, ...args);
  await deployment.kubectl('create', 'namespace', HUB_NAMESPACE);
  const values = { 'proxy-token': secret(), 'user-password': password, 'labwright-service-token': serviceToken };
  const literals = Object.entries(values).map(([key, value]) => `--from-literal=${key}=${value}`);
  await kubectl('create', 'secret', 'generic', 'jupyterhub', ...literals);

  const [name, tag] = [image.replace(/:\w+$/, ''), '1'];
  const controller = `http://labwright.${CONTROLLER_NAMESPACE}.svc`;
  const environment = [
    { name: 'LABWRIGHT_URL', value: `${controller}${PATH_PREFIX}` },
    { name: 'LABWRIGHT_SERVICE_URL', value: controller },
  ];
  const patch = {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'hub' } },
    spec: { template: { spec: { containers: [{ name: 'hub', imagePullPolicy: 'Always', env: environment }] } } },
  };
  await deployment.apply(
    'jupyterhub/cluster',
    {
      namespace: HUB_NAMESPACE,
      images: [{ name: 'registry.example.org/hub', newName: name, newTag: tag }],
      configMapGenerator: [{ name: 'hub', behavior: 'replace', files: ['jupyterhub_config.py'] }],
      patches: [{ patch: JSON.stringify(patch) }],
    },
    { 'jupyterhub_config.py': `${deployFile('jupyterhub/cluster/jupyterhub_config.py')}${MORE_CONFIG(driverToken)}` },
  );
  const address = await kubectl('get', 'service', 'proxy-public', '-o', 'jsonpath={.spec.clusterIP}');
  const url = `http://${address}`;
  // Known only now: people come from outside to an address that the cluster has chosen.
  await kubectl('set', 'env', 'deploy/hub', `LABWRIGHT_CALLBACK_URL=${url}${PATH_PREFIX}/oauth_callback`);
  const api = new HubApi(url, driverToken);
  const answers = () =>
    waitFor('the hub to answer', 180_000, async () => ((await api.answers()) ? true : undefined), 500);
  const logs: string[] = [];
  const readLog = () => kubectl('logs', '-l', SELECTOR, '--tail=-1');
  return {
    ...{ url, password, serviceToken, api },
    ready: async () => void (await answers()),
    async restart() {
      logs.push(await readLog());
      await deployment.killPods(HUB_NAMESPACE, SELECTOR);
      await answers();
    },
    log: async () => [...logs, await readLog()].join(''),
    remove: async () => {
      await deployment.kubectl('delete', 'namespace', HUB_NAMESPACE, '--wait=false');
    },
  };
}
