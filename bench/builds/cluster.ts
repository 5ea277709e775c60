import { KubeConfig } from '@kubernetes/client-node';
import { tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { pushScriptedBuilder } from './image.ts';

/** The real cluster that builds run in, and its registry. */
export interface Cluster {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
  readonly client: KubeClient;
  /** Host of the registry, as in references of images. */
  readonly registry: string;
  /** Reference of the scripted builder. */
  readonly builder: string;
  close(): Promise<void>;
}

/** @throws Error for a kubeconfig without a bearer token: calls are counted by a proxy, which cannot forward certificates */
export async function connectCluster(kubeconfig: string, host: string | undefined, base: string): Promise<Cluster> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const { server = '', caData } = config.getCurrentCluster() ?? {};
  const token = config.getCurrentUser()?.token;
  if (token === undefined || caData === undefined) throw new Error('expected a kubeconfig with a token and a CA in it');
  const ca = Buffer.from(caData, 'base64').toString();
  const registry = host ?? `${new URL(server).hostname}:5000`;
  const connection = tokenConnection({ server, token, ca });
  const client = new KubeClient({ connection });
  const builder = await pushScriptedBuilder(registry, base);
  return { server, ca, token, client, registry, builder, close: () => connection.close() };
}
