import { createHash, randomBytes } from 'node:crypto';
import { encodeSecret } from '../../../src/builder/values.ts';
import { Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { canary } from '../../support/canary.ts';
import { ControllerProcess } from '../../support/controller-process.ts';
import type { RealCluster } from '../cluster.ts';
import type { FakeHub } from '../fake-hub.ts';
import { BuildsApi } from './builds-api.ts';

/** Labwright as a process of this host, with its clients. */
export interface Labwright {
  readonly process: ControllerProcess;
  readonly builds: BuildsApi;
  /** Token of a hub. */
  readonly token: string;
  /** Origin and path prefix. */
  readonly url: string;
  /** Of its builds. */
  readonly buildNamespace: string;
  close(): Promise<void>;
}

/** What every Labwright of a run is configured with. */
export interface Ground {
  readonly cluster: RealCluster;
  readonly hub: FakeHub;
  /** Image that builds. */
  readonly builder: string;
  /** Host of the registry, plain HTTP. */
  readonly registryHost: string;
  /** Git servers in private networks that may be asked. */
  readonly gitHosts: readonly string[];
  /** The one that there are credentials for. */
  readonly privateGit: { readonly url: string; readonly username: string; readonly password: string };
}

const REGISTRY_SECRET = 'registry-credentials';
const GIT_SECRET = 'git-credentials';

/**
 * Starts a Labwright with namespaces of its own.
 *
 * @param name part of their names
 * @param builds further settings of `builds`, in place of those it would have
 */
export async function startLabwright(
  ground: Ground,
  name: string,
  builds: Readonly<Record<string, unknown>>,
): Promise<Labwright> {
  const { cluster, hub } = ground;
  const { prefix, labImage } = cluster;
  const namespace = `${prefix}-${name}`;
  await makeSecrets(ground, namespace);
  const token = canary(randomBytes(16).toString('hex'));
  const process = await ControllerProcess.prepare({
    credentials: { kubeconfig: cluster.kubeconfig },
    namespace,
    image: labImage,
    labEnv: (username) => hub.environment(username),
    auth: { tokens: [{ sha256: createHash('sha256').update(token).digest('hex'), role: 'hub' }] },
    lab: {
      namespacePrefix: `${prefix}-lab-${name.slice(0, 6)}`,
      namespaceRetention: '15s',
      internalUrl: 'podIp',
      sizes: [{ name: 'small', cpu: 1, memory: '1Gi', cpuRequest: '50m', memoryRequest: '128Mi' }],
    },
    config: { builds: { ...buildsConfig(ground), ...builds } },
  });
  const url = `${process.url}/labwright`;
  const api = new BuildsApi(url, token);
  const close = async (): Promise<void> => {
    await api.close();
    await process.close();
  };
  try {
    process.start();
    await process.firstAnswer();
  } catch (error) {
    await close();
    throw error;
  }
  return { process, builds: api, token, url, buildNamespace: `${namespace}-builds`, close };
}

function buildsConfig({ cluster, builder, registryHost, gitHosts, privateGit }: Ground): object {
  return {
    registry: { host: registryHost, insecure: true, credentials: REGISTRY_SECRET },
    naming: { prefix: `${cluster.prefix}/` },
    repositories: {
      privateHosts: gitHosts,
      credentials: [{ url: privateGit.url, secret: GIT_SECRET }],
      refCache: '0s',
    },
    builder: { image: builder, imagePullPolicy: 'Always' },
    pod: {
      ...{ cpu: 2, memory: '2Gi', cpuRequest: '50m', memoryRequest: '128Mi' },
      ...{ ephemeralStorage: '5Gi', ephemeralStorageRequest: '100Mi' },
    },
  };
}

/** The namespace of a controller with its credentials. The registry wants none, and nobody may see them all the same. */
async function makeSecrets({ cluster, registryHost, privateGit }: Ground, namespace: string): Promise<void> {
  const { client } = cluster;
  await client.create(Namespaces, { metadata: { name: namespace } });
  const auth = Buffer.from(`builder:${canary(`registry-${randomBytes(8).toString('hex')}`)}`).toString('base64');
  const dockerConfig = JSON.stringify({ auths: { [registryHost]: { auth }, 'registry.example.org': { auth } } });
  const { username, password } = privateGit;
  const secrets = { [REGISTRY_SECRET]: { 'config.json': dockerConfig }, [GIT_SECRET]: { username, password } };
  for (const [name, values] of Object.entries(secrets)) {
    await client.create(Secrets, { metadata: { name, namespace }, data: encodeSecret(values) });
  }
}
