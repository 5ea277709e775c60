import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Config, parseConfig } from '../src/config/index.ts';
import { type KubeConnection, tokenConnection } from '../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Pods } from '../src/storage/kubernetes/resources.ts';
import { kubeconfigText, startApiServer } from '../test/support/api-server.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { canPretendToBeAPod, BUNDLE, ControllerProcess, type Credentials } from '../test/support/controller-process.ts';
import { FaultProxy } from '../test/support/fault-proxy.ts';
import { IMAGE } from './images.ts';
import type { KubeletMessage } from './kubelet.ts';
import { Noise } from './noise.ts';

/** The controller's own. */
const NAMESPACE = 'labwright';

/**
 * Everything a measurement needs, made anew for each: etcd, kube-apiserver, the stock controller manager, the test
 * kubelet and, when asked for, the controller; each a process of its own.
 */
export interface Setting {
  /** The driver's own client, with the controller's own limits. */
  readonly client: KubeClient;
  /** The controller's configuration as it reads it. */
  readonly config: Config;
  /** Not started yet. */
  readonly controller: ControllerProcess;
  /** The same controller behind a proxy that counts its calls; not to be run beside the other. */
  readonly counted: { readonly controller: ControllerProcess; readonly proxy: FaultProxy };
  /** Who uses the machine meanwhile. */
  readonly noise: Noise;
  /** Stops the kubelet's process in the middle of whatever it does, or lets it go on. */
  kubelet(state: 'stopped' | 'running'): void;
  /** Resolves when the kubelet has dealt with every pod. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Starts the servers and the kubelet. */
export async function startSetting(): Promise<Setting> {
  const api = await startApiServer({ controllers: 'stock' });
  const connections: KubeConnection[] = [tokenConnection(api)];
  const client = new KubeClient({ connection: connections[0]! });
  await client.create(Namespaces, { metadata: { name: NAMESPACE } });
  // Accounts, cluster roles and service networks are made in the first seconds; measuring begins after them.
  await waitFor('the default account', 30_000, () => client.get(Namespaces, { name: 'kube-node-lease' }), 100);
  await delay(3_000);
  const kubelet = await startKubeletProcess(api);
  const proxy = await FaultProxy.start(api);
  const proxied = join(api.kubeconfig, '../counted.kubeconfig');
  writeFileSync(proxied, kubeconfigText(proxy.server, api.token), { mode: 0o600 });
  const { server, token, ca, kubeconfig } = api;
  const own: Credentials = canPretendToBeAPod() ? { server, token, ca } : { kubeconfig };
  const [controller, behindProxy] = await Promise.all(
    [own, { kubeconfig: proxied }].map((credentials) =>
      ControllerProcess.prepare({ credentials, namespace: NAMESPACE, image: IMAGE, program: BUNDLE }),
    ),
  );
  return {
    client,
    config: parseConfig(readFileSync(controller!.configFile, 'utf8')),
    controller: controller!,
    counted: { controller: behindProxy!, proxy },
    noise: new Noise(new Map(api.processes.map(({ pid, name }) => [pid, name])), (pid) =>
      pid === process.pid ? 'driver' : pid === kubelet.pid ? 'kubelet' : 'controller',
    ),
    kubelet: (state) => void kubelet.kill(state === 'stopped' ? 'SIGSTOP' : 'SIGCONT'),
    settled: () => settled(client),
    close: async () => {
      await Promise.all([controller!.close(), behindProxy!.close()]);
      kubelet.kill('SIGKILL');
      await proxy.close();
      await Promise.all(connections.map((connection) => connection.dispatcher.destroy()));
      await api.close();
    },
  };
}

/** The test kubelet as a process of its own; it ends with this one. */
export async function startKubeletProcess({ server, token, ca, delays, serve }: KubeletMessage): Promise<ChildProcess> {
  const kubelet = fork(join(import.meta.dirname, 'kubelet.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ready = new Promise<void>((resolve, reject) => {
    kubelet.once('message', () => resolve());
    kubelet.once('exit', (code) => reject(new Error(`The test kubelet ended with ${code}`)));
  });
  kubelet.send({ server, token, ca, delays, serve });
  await ready;
  return kubelet;
}

async function settled(client: KubeClient): Promise<void> {
  await waitFor(
    'the test kubelet to catch up',
    120_000,
    async () => {
      const { items } = await client.list(Pods, { fieldSelector: 'status.phase=Pending', metadataOnly: true });
      return items.length === 0 ? true : undefined;
    },
    100,
  );
}
