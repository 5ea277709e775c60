import { join } from 'node:path';
import { request } from 'undici';
import { stringify } from 'yaml';
import { Namespaces } from '../../../src/storage/kubernetes/resources.ts';
import { watchText } from '../../support/canary.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { RealCluster } from '../cluster.ts';
import { CONTROLLER_NAMESPACE, type Deployment } from '../hub/deployment.ts';

export interface InstallationOptions {
  readonly cluster: RealCluster;
  readonly deployment: Deployment;
  /** Image of the controller. */
  readonly image: string;
  /** Namespace that labs share. */
  readonly namespace: string;
  /** Of Labwright as a service of the hub. */
  readonly serviceToken: string;
}

/** One pod of the controller. */
export interface Replica {
  readonly name: string;
  readonly uid: string;
  readonly restarts: number;
  /** Origin at which it answers. */
  readonly url: string;
}

const SELECTOR = 'app.kubernetes.io/name=labwright';
/** The account that the controller runs as. */
export const CONTROLLER_ACCOUNT = `system:serviceaccount:${CONTROLLER_NAMESPACE}:labwright`;
const RBAC = join(import.meta.dirname, '../../../deploy/kubernetes/rbac.yaml');
const PULL_ALWAYS = [{ op: 'add', path: '/spec/template/spec/containers/0/imagePullPolicy', value: 'Always' }];
const LONG_MS = 180_000;

/** Labwright in pods, as deploy/kubernetes-shared installs it. */
export class Installation {
  readonly #options: InstallationOptions;
  /** Lines, each once. */
  readonly #logs = new Set<string>();

  constructor(options: InstallationOptions) {
    this.#options = options;
  }

  /** Installs it, or has the pods replaced by ones with another configuration; resolves when those are ready. */
  async apply(config: object): Promise<void> {
    await this.#keepLog();
    const { deployment, image, namespace, serviceToken } = this.#options;
    const inNamespace = JSON.stringify([{ op: 'replace', path: '/metadata/namespace', value: namespace }]);
    await deployment.apply(
      'kubernetes-shared',
      {
        images: [{ name: 'registry.example.org/labwright', newName: image.replace(/:\w+$/, ''), newTag: '1' }],
        patches: [
          // Each run pushes its own image under the same name.
          { target: { kind: 'Deployment', name: 'labwright' }, patch: JSON.stringify(PULL_ALWAYS) },
          { target: { kind: 'Role', name: 'labwright-labs' }, patch: inNamespace },
          { target: { kind: 'RoleBinding', name: 'labwright-labs' }, patch: inNamespace },
        ],
        configMapGenerator: [
          {
            ...{ name: 'labwright', namespace: CONTROLLER_NAMESPACE, behavior: 'merge' },
            files: ['config.yaml', 'service-token'],
          },
        ],
      },
      { 'config.yaml': stringify(config), 'service-token': serviceToken },
    );
    await this.#kubectl('rollout', 'status', 'deploy/labwright', '--timeout=180s');
  }

  /** Resolves when what an earlier run has installed is gone. */
  async awaitRoom(): Promise<void> {
    const { client } = this.#options.cluster;
    const ask = async () =>
      (await client.get(Namespaces, { name: CONTROLLER_NAMESPACE })) === undefined ? true : undefined;
    await waitFor('the namespace of an earlier run to go', LONG_MS, ask, 500);
  }

  /** Address of its Service, with the path prefix. */
  async url(): Promise<string> {
    const address = await this.#kubectl('get', 'service', 'labwright', '-o', 'jsonpath={.spec.clusterIP}');
    return `http://${address}/labwright`;
  }

  /** The pods that are there to stay. */
  async replicas(): Promise<Replica[]> {
    const { items } = JSON.parse(await this.#kubectl('get', 'pods', '-l', SELECTOR, '-o', 'json')) as {
      items: {
        metadata: { name: string; uid: string; deletionTimestamp?: string };
        status: { podIP: string; containerStatuses: { restartCount: number }[] };
      }[];
    };
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata: { name, uid }, status }) => ({
        ...{ name, uid, restarts: status.containerStatuses[0]?.restartCount ?? 0 },
        url: `http://${status.podIP}:8080`,
      }));
  }

  /** Writes another configuration into the ConfigMap that the pods have mounted. */
  async writeConfig(text: string): Promise<void> {
    const name = await this.#kubectl(
      ...['get', 'deploy', 'labwright', '-o', 'jsonpath={.spec.template.spec.volumes[0].configMap.name}'],
    );
    const patch = JSON.stringify({ data: { 'config.yaml': text } });
    await this.#kubectl('patch', 'configmap', name, '--type', 'merge', '-p', patch);
  }

  /** Whether the account of the controller may do something: words as for `kubectl auth can-i`. */
  async may(...words: string[]): Promise<boolean> {
    const { deployment } = this.#options;
    const answer = await deployment
      .kubectl('auth', 'can-i', '--as', CONTROLLER_ACCOUNT, ...words)
      // It ends with 1 where the answer is no.
      .catch((error: unknown) => (error as { stdout?: string }).stdout ?? '');
    if (!/^(?:yes|no)\b/.test(answer)) throw new Error(`kubectl auth can-i ${words.join(' ')}: ${answer}`);
    return answer.startsWith('yes');
  }

  /** Gives it the rights in the whole cluster that labs with namespaces of their own need. */
  async grantCluster(): Promise<void> {
    await this.#kubectl('apply', '-f', RBAC);
  }

  /** All that its pods have logged. */
  async log(): Promise<string> {
    await this.#keepLog();
    const text = [...this.#logs].join('\n');
    watchText(text, 'the log of Labwright');
    return text;
  }

  async remove(): Promise<void> {
    const { deployment } = this.#options;
    await deployment.kubectl('delete', 'namespace', CONTROLLER_NAMESPACE, '--wait=false', '--ignore-not-found');
    await deployment.kubectl('delete', 'clusterrole,clusterrolebinding', 'labwright', '--ignore-not-found');
  }

  async #keepLog(): Promise<void> {
    const text = await this.#kubectl('logs', '-l', SELECTOR, '--tail=-1').catch(() => '');
    for (const line of text.split('\n')) this.#logs.add(line);
  }

  #kubectl(...args: string[]): Promise<string> {
    return this.#options.deployment.kubectl('-n', CONTROLLER_NAMESPACE, ...args);
  }
}

/** What one replica answers, over a connection of its own. */
export async function askReplica(
  { url }: Replica,
  path: string,
  token?: string,
): Promise<{ status: number; text: string }> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const { statusCode, body } = await request(url + path, { headers, reset: true });
  const text = await body.text();
  watchText(text, `answer of a replica to ${path}`);
  return { status: statusCode, text };
}
