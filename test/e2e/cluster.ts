import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { kubeconfigConnection } from '../../src/storage/kubernetes/kubeconfig.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';

/** The real cluster of a run, and a client to look behind the controller's back. */
export interface RealCluster {
  readonly kubeconfig: string;
  /** Reference of the lab image in the cluster's own registry. */
  readonly labImage: string;
  /** Address of this host as pods reach it. */
  readonly host: string;
  readonly client: KubeClient;
  /** Begins the names of everything this run makes. */
  readonly prefix: string;
  /** Builds a folder with a Dockerfile and pushes it to the cluster's registry. @returns its reference */
  buildImage(name: string, folder: string): Promise<string>;
  /** Asks for the end of every namespace of this run. */
  removeNamespaces(): Promise<void>;
  close(): Promise<void>;
}

const execute = promisify(execFile);

/**
 * Starts the cluster, or finds it running, and has the lab image made.
 *
 * @param folder holds the scripts `cluster` and `images`
 * @param labImage another image instead
 */
export async function startRealCluster(folder: string, labImage?: string): Promise<RealCluster> {
  const up = (): Promise<string> => lastLine(`${folder}/cluster`, 'up');
  // The script only adds what is missing, and under load it now and then stumbles over what is there.
  const kubeconfig = await up().catch(up);
  const image = labImage ?? (await lastLine(`${folder}/images`, 'lab'));
  const connection = await kubeconfigConnection(kubeconfig);
  const client = new KubeClient({ connection });
  const prefix = `e2e-${randomBytes(3).toString('hex')}`;
  return {
    kubeconfig,
    labImage: image,
    // The API server is on this host, at the address by which pods know the host.
    host: new URL(connection.server).hostname,
    client,
    prefix,
    buildImage: (name, source) => lastLine(`${folder}/images`, 'build', name, source),
    async removeNamespaces() {
      for (const { metadata } of (await client.list(Namespaces)).items) {
        const name = metadata?.name ?? '';
        if (name.startsWith(prefix)) await client.delete(Namespaces, { name });
      }
    },
    close: () => connection.close(),
  };
}

async function lastLine(command: string, ...words: string[]): Promise<string> {
  const { stdout } = await execute(command, words, { timeout: 20 * 60_000 });
  return stdout.trim().split('\n').at(-1) ?? '';
}
