import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Namespaces, Secrets } from '../../../src/storage/resources.ts';
import { encodeSecret } from '../../../src/builder/values.ts';
import { canary } from '../../support/canary.ts';
import { ControllerProcess } from '../../support/controller-process.ts';
import { type GitServer, startGitServer } from '../../support/git-server.ts';
import { type RealCluster, startRealCluster } from '../cluster.ts';
import { type FakeHub, startFakeHub } from '../fake-hub.ts';
import type { Transcript } from '../transcript.ts';
import { BuildsApi } from './builds-api.ts';
import { type Gates, startGates } from './gates.ts';
import { Registry } from './registry.ts';

/** Labwright as a process of this host, with its clients. */
export interface Labwright {
  readonly process: ControllerProcess;
  readonly builds: BuildsApi;
  /** Token of a hub. */
  readonly token: string;
  /** Origin and path prefix. */
  readonly url: string;
  /** The controller's own. */
  readonly namespace: string;
  /** Of its builds. */
  readonly buildNamespace: string;
  close(): Promise<void>;
}

export interface BuildScene {
  readonly cluster: RealCluster;
  readonly hub: FakeHub;
  readonly transcript: Transcript;
  /** Open to everybody. */
  readonly git: GitServer;
  /** Wants the credentials that Labwright has. */
  readonly privateGit: GitServer;
  /** Wants credentials that nobody has. */
  readonly otherGit: GitServer;
  readonly gates: Gates;
  readonly registry: Registry;
  readonly labwright: Labwright;
  /** Image to build labs from. */
  readonly labImage: string;
  /** A smaller one, with a shell and curl. */
  readonly baseImage: string;
  /** Another Labwright, with a namespace of its own and further settings of `builds`. */
  another(name: string, builds: Readonly<Record<string, unknown>>): Promise<Labwright>;
}

const REGISTRY_SECRET = 'registry-credentials';
const GIT_SECRET = 'git-credentials';
const BUILDER_FOLDER = join(import.meta.dirname, '../../../deploy/builder');

export async function prepare(
  options: { readonly kube: string; readonly builder: string | undefined },
  transcript: Transcript,
): Promise<BuildScene & { close(): Promise<void> }> {
  const cluster = await startRealCluster(options.kube);
  const { host, labImage, prefix } = cluster;
  const builder = options.builder ?? (await cluster.buildImage('labwright-builder', BUILDER_FOLDER));
  const registryHost = labImage.slice(0, labImage.indexOf('/'));
  const credentials = { username: 'ada', password: canary(`git-${randomBytes(8).toString('hex')}`) };
  const [hub, gates, git, privateGit, otherGit] = await Promise.all([
    startFakeHub(host),
    startGates(host),
    startGitServer({ host }),
    startGitServer({ host, credentials }),
    startGitServer({ host, credentials: { ...credentials, password: 'of another host' } }),
  ]);
  const all: Labwright[] = [];
  const another = async (name: string, builds: Readonly<Record<string, unknown>>): Promise<Labwright> => {
    const namespace = `${prefix}-${name}`;
    const { client } = cluster;
    await client.create(Namespaces, { metadata: { name: namespace } });
    const auth = Buffer.from(`builder:${canary(`registry-${randomBytes(8).toString('hex')}`)}`).toString('base64');
    const dockerConfig = JSON.stringify({ auths: { [registryHost]: { auth }, 'registry.example.org': { auth } } });
    await client.create(Secrets, {
      metadata: { name: REGISTRY_SECRET, namespace },
      data: encodeSecret({ 'config.json': dockerConfig }),
    });
    await client.create(Secrets, { metadata: { name: GIT_SECRET, namespace }, data: encodeSecret(credentials) });
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
      config: {
        builds: {
          registry: { host: registryHost, insecure: true, credentials: REGISTRY_SECRET },
          naming: { prefix: `${prefix}/` },
          repositories: {
            privateHosts: [git, privateGit, otherGit].map(({ url }) => new URL(url).host),
            credentials: [{ url: privateGit.url, secret: GIT_SECRET }],
            refCache: '0s',
          },
          builder: { image: builder, imagePullPolicy: 'Always' },
          pod: {
            ...{ cpu: 2, memory: '2Gi', cpuRequest: '50m', memoryRequest: '128Mi' },
            ...{ ephemeralStorage: '5Gi', ephemeralStorageRequest: '100Mi' },
          },
          ...builds,
        },
      },
    });
    const url = `${process.url}/labwright`;
    const api = new BuildsApi(url, token);
    const labwright: Labwright = {
      process,
      builds: api,
      token,
      url,
      namespace,
      buildNamespace: `${namespace}-builds`,
      async close() {
        await api.close();
        await process.close();
      },
    };
    all.push(labwright);
    process.start();
    await process.firstAnswer();
    return labwright;
  };
  const registry = new Registry(`http://${registryHost}`);
  const labwright = await another('main', {});
  return {
    ...{ cluster, hub, transcript, git, privateGit, otherGit, gates, registry, labwright, labImage, another },
    baseImage: labImage.replace(/\/lab:/, '/base:'),
    async close() {
      for (const each of all) await each.close();
      await cluster.removeNamespaces();
      await registry.removeImages(prefix);
      await Promise.all([hub, gates, git, privateGit, otherGit].map((server) => server.close()));
      await cluster.close();
    },
  };
}
