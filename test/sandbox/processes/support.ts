import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { LocalLabs, type Sandbox, type SandboxOptions, startSandbox } from '../../../sandbox/index.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../../support/wait-for.ts';

export const DEADLINE_MS = 15_000;

/**
 * A lab: listens where JUPYTERHUB_SERVICE_URL says, tells what it sees, starts a process in a session of its own, ends
 * with an exit code, or turns a deaf ear to SIGTERM.
 */
export const LAB = `
const { createServer } = require('node:http');
const { spawn } = require('node:child_process');
const { hostname, port } = new URL(process.env.JUPYTERHUB_SERVICE_URL);
createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://lab');
  if (pathname === '/exit') {
    console.error('the last words');
    process.exit(Number(searchParams.get('code')));
  }
  if (pathname === '/deaf') process.on('SIGTERM', () => undefined);
  const child = pathname === '/child' ? spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).pid : undefined;
  response.end(JSON.stringify({ env: process.env, cwd: process.cwd(), pid: process.pid, args: process.argv.slice(1), child }));
}).listen(port, hostname);
`;

/** What the lab above says of itself. */
export interface LabView {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly pid: number;
  readonly args: readonly string[];
  readonly child?: number;
}

export interface Machine {
  /** The folder with homes and logs. */
  readonly folder: string;
  readonly sandbox: Sandbox;
  readonly client: KubeClient;
}

const closing: (() => Promise<unknown>)[] = [];

/** For `afterEach`: ends everything in this file, the last first. */
export async function closeAll(): Promise<void> {
  for (const close of closing.splice(0).reverse()) await close();
}

export function closeLater(close: () => Promise<unknown>): void {
  closing.push(close);
}

/** An empty folder that goes with the test. */
export async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-local-'));
  closeLater(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A sandbox whose pods are processes. */
export async function aMachine(options: SandboxOptions = {}): Promise<Machine> {
  const folder = join(await aFolder(), '.labwright');
  const sandbox = await startSandbox({ localLabs: await LocalLabs.open(folder), ...options });
  closeLater(() => sandbox.close());
  const client = new KubeClient({ connection: sandbox.connection() });
  closeLater(() => client.close());
  return { folder, sandbox, client };
}

export interface PodWish {
  readonly namespace?: string;
  readonly username?: string;
  readonly container?: Partial<V1Container>;
  readonly secret?: Readonly<Record<string, string>>;
  readonly graceSeconds?: number;
}

/** Makes the pod of a lab, by default one that runs the program above. */
export async function aPod(client: KubeClient, wish: PodWish = {}): Promise<{ namespace: string; name: string }> {
  const { namespace = 'lab-ada', username = 'ada', container = {}, secret = {}, graceSeconds = 5 } = wish;
  const ref = { namespace, name: 'lab' };
  if ((await client.get(Namespaces, { name: namespace })) === undefined) {
    await client.create(Namespaces, { metadata: { name: namespace } });
    const stringData = { JUPYTERHUB_SERVICE_URL: 'http://:8888/user/ada/', ...secret };
    await client.create(Secrets, { metadata: { namespace, name: 'lab-env' }, stringData });
  }
  await client.create(Pods, {
    metadata: { ...ref, annotations: { 'labwright.dev/username': username } },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: graceSeconds,
      containers: [
        {
          name: 'notebook',
          image: 'localhost/jupyterlab:local',
          args: [process.execPath, '-e', LAB, 'first', '$(GREETING)'],
          ports: [{ containerPort: 8888 }],
          envFrom: [{ secretRef: { name: 'lab-env' } }],
          startupProbe: { tcpSocket: { port: 8888 }, periodSeconds: 1, failureThreshold: 10 },
          ...container,
        },
      ],
    },
  });
  return ref;
}

export type PodRef = Awaited<ReturnType<typeof aPod>>;

export async function podThat(client: KubeClient, ref: PodRef, isWanted: (pod: V1Pod) => boolean): Promise<V1Pod> {
  let seen: V1Pod | undefined;
  const found = waitFor('the pod to be as wanted', DEADLINE_MS, async () => {
    seen = await client.get(Pods, ref);
    return seen !== undefined && isWanted(seen) ? seen : undefined;
  });
  return found.catch((cause: unknown) => {
    throw new Error(`${String(cause)}; it is ${JSON.stringify(seen?.status)}`, { cause });
  });
}

export function gone(client: KubeClient, ref: PodRef): Promise<true> {
  return waitFor('the pod to go', DEADLINE_MS, async () =>
    (await client.get(Pods, ref)) === undefined ? true : undefined,
  );
}

export const stateOf = (pod: V1Pod) => pod.status?.containerStatuses?.[0]?.state;
export const isFailed = (pod: V1Pod) => pod.status?.phase === 'Failed';
export const isReady = (pod: V1Pod) =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** Asks the lab in the pod. */
export async function askLab(pod: V1Pod, path = '/'): Promise<LabView> {
  const answer = await fetch(`http://${pod.status?.podIP ?? ''}:8888${path}`, { headers: { connection: 'close' } });
  return (await answer.json()) as LabView;
}

/** Waits until there is no such process. */
export function ended(pid: number): Promise<true> {
  return waitFor(`process ${pid} to end`, DEADLINE_MS, () => (lives(pid) ? undefined : true));
}

/** Whether a process runs; one that has ended and that nobody has reaped yet does not. */
export function lives(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}
