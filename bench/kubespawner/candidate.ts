import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiServer } from '../../test/support/api-server.ts';
import { kubeconfigText } from '../../test/support/api-server.ts';
import {
  BUNDLE,
  canPretendToBeAPod,
  ControllerProcess,
  type Credentials,
} from '../../test/support/controller-process.ts';
import { FaultProxy } from '../../test/support/fault-proxy.ts';
import { HubApi } from '../../test/support/hub-api.ts';
import { HubProcess } from '../../test/support/hub-process.ts';
import { IMAGE } from '../images.ts';

/** What makes the labs of a hub. */
export type Mode = 'kubespawner' | 'perLab' | 'shared';
export const MODES: readonly Mode[] = ['kubespawner', 'perLab', 'shared'];
export const TITLES: Readonly<Record<Mode, string>> = {
  kubespawner: 'KubeSpawner',
  perLab: 'Labwright, per lab',
  shared: 'Labwright, shared',
};

/** Namespaces that have to be there: the controller's own, and those that labs share. */
export const NAMESPACES = {
  // One for each: a controller that is killed leaves its Lease behind, and the next one would wait until that is over.
  controller: 'labwright',
  controllerOfShared: 'labwright-shared',
  kubespawner: 'bench-kubespawner',
  shared: 'bench-shared',
};
/** The start that a hub waits for before it answers, in seconds: the answer to a start is that the server is ready. */
const PATIENCE = 300;

/** A hub, and Labwright where it makes the labs. */
export interface Candidate {
  readonly mode: Mode;
  readonly hub: HubProcess;
  readonly api: HubApi;
  /** What the server is asked for. */
  readonly options: Readonly<Record<string, string>>;
  /** Absent where the hub makes the labs itself. */
  readonly controller: ControllerProcess | undefined;
  /** Counts the calls to Kubernetes; absent where nothing is to stand in between. */
  readonly proxy: FaultProxy | undefined;
  close(): Promise<void>;
}

export interface CandidateOptions {
  readonly mode: Mode;
  readonly server: ApiServer;
  /** The program `jupyterhub`; it must find KubeSpawner and what Labwright's spawner needs. */
  readonly jupyterhub: string;
  /** Whether calls are counted, by a proxy that costs time. */
  readonly counted: boolean;
}

/** Starts a hub that makes labs in one of the ways, with the same settings but for that. */
export async function startCandidate({ mode, server, jupyterhub, counted }: CandidateOptions): Promise<Candidate> {
  const proxy = counted ? await FaultProxy.start(server) : undefined;
  const kubeconfig = proxy === undefined ? server.kubeconfig : join(server.kubeconfig, '../counted.kubeconfig');
  if (proxy !== undefined) writeFileSync(kubeconfig, kubeconfigText(proxy.server, server.token), { mode: 0o600 });
  const token = randomBytes(16).toString('hex');
  const controller =
    mode === 'kubespawner' ? undefined : await prepareController(mode, token, { server, kubeconfig, counted });
  const hub = await HubProcess.prepare({
    program: jupyterhub,
    controllerUrl: `${controller?.url ?? 'http://127.0.0.1:1'}/labwright`,
    controllerToken: token,
    config: `${HUB}${mode === 'kubespawner' ? KUBESPAWNER : ''}`,
    env: { KUBECONFIG: kubeconfig },
  });
  controller?.start();
  await controller?.firstAnswer();
  await hub.start();
  return {
    mode,
    hub,
    api: new HubApi(hub.url, hub.token),
    options: mode === 'kubespawner' ? {} : { size: 'small', image_class: 'recommended' },
    controller,
    proxy,
    close: async () => {
      await hub.close();
      await controller?.close();
      await proxy?.close();
    },
  };
}

const HUB = `
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": ${String(PATIENCE)}, "slow_stop_timeout": ${String(PATIENCE)}}
c.Spawner.start_timeout = ${String(PATIENCE)}
c.Spawner.http_timeout = ${String(PATIENCE)}
`;

/** The pod of the configuration of the controller. */
const KUBESPAWNER = `
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.namespace = "${NAMESPACES.kubespawner}"
c.KubeSpawner.image = "${IMAGE}"
c.KubeSpawner.uid = 1000
c.KubeSpawner.cmd = ["jupyterhub-singleuser"]
c.KubeSpawner.cpu_limit = 1
c.KubeSpawner.cpu_guarantee = 0.01
c.KubeSpawner.mem_limit = "1G"
c.KubeSpawner.mem_guarantee = "64M"
`;

interface Reached {
  readonly server: ApiServer;
  readonly kubeconfig: string;
  readonly counted: boolean;
}

function prepareController(mode: Mode, token: string, { server, kubeconfig, counted }: Reached) {
  const asPod = !counted && canPretendToBeAPod();
  const credentials: Credentials = asPod
    ? { server: server.server, token: server.token, ca: server.ca }
    : { kubeconfig };
  return ControllerProcess.prepare({
    credentials,
    namespace: mode === 'shared' ? NAMESPACES.controllerOfShared : NAMESPACES.controller,
    image: IMAGE,
    program: BUNDLE,
    auth: { tokens: [{ sha256: createHash('sha256').update(token).digest('hex'), role: 'hub' }] },
    lab: {
      // The addresses of Services are not those of this machine.
      internalUrl: 'podIp',
      ...(mode === 'shared' ? { namespaces: 'shared', namespace: NAMESPACES.shared } : {}),
    },
  });
}
