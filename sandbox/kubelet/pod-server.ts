import type { V1Pod, V1Service } from '@kubernetes/client-node';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Secrets, Services } from '../../src/storage/kubernetes/resources.ts';

const VERSION = '5.0.0';
const DEFAULT_PORT = 8888;

/** The HTTP server that stands for a lab: on the pod's address, and on the address of every Service that selects it. */
export class PodServer {
  readonly #servers: Server[] = [];

  /** @throws Error when an address cannot be listened on */
  static async start(client: KubeClient, pod: V1Pod, podIP: string, signal: AbortSignal): Promise<PodServer> {
    const server = new PodServer();
    try {
      const env = await readEnvironment(client, pod, signal);
      const answer = (request: IncomingMessage, response: ServerResponse) => answerAsLab(env, pod, request, response);
      const ports = portsOf(pod);
      for (const { number } of ports) await server.#listen(podIP, number, answer);
      const { items } = await client.list(Services, { namespace: pod.metadata?.namespace ?? '', signal });
      for (const service of items.filter((candidate) => selects(candidate, pod))) {
        const address = service.spec?.clusterIP ?? '';
        // On a real API server the address is not one of this machine.
        if (!address.startsWith('127.')) continue;
        for (const { port } of service.spec?.ports ?? []) await server.#listen(address, port, answer);
      }
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.splice(0).map(async (server) => {
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        await closed;
      }),
    );
  }

  async #listen(host: string, port: number, answer: (request: IncomingMessage, response: ServerResponse) => void) {
    const server = createServer(answer);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    this.#servers.push(server);
  }
}

function portsOf(pod: V1Pod): { readonly number: number }[] {
  const declared = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports);
  return declared.length === 0 ? [{ number: DEFAULT_PORT }] : declared.map((port) => ({ number: port.containerPort }));
}

function selects({ spec }: V1Service, { metadata }: V1Pod): boolean {
  const wanted = Object.entries(spec?.selector ?? {});
  return wanted.length > 0 && wanted.every(([label, value]) => metadata?.labels?.[label] === value);
}

/** The first container's environment, with the Secrets it takes it from. */
async function readEnvironment(client: KubeClient, pod: V1Pod, signal: AbortSignal): Promise<Record<string, string>> {
  const container = pod.spec?.containers[0];
  const env: Record<string, string> = {};
  for (const { secretRef } of container?.envFrom ?? []) {
    if (secretRef?.name === undefined) continue;
    const secret = await client.get(Secrets, { namespace: pod.metadata?.namespace, name: secretRef.name }, { signal });
    for (const [name, value] of Object.entries(secret?.data ?? {})) env[name] = Buffer.from(value, 'base64').toString();
  }
  for (const { name, value } of container?.env ?? []) if (value !== undefined) env[name] = value;
  return env;
}

/** A page under the prefix and the version under `api`, which is where a hub asks whether a server is up. */
function answerAsLab(
  env: Record<string, string>,
  { metadata, spec }: V1Pod,
  { url = '/' }: IncomingMessage,
  response: ServerResponse,
): void {
  const prefix = env['JUPYTERHUB_SERVICE_PREFIX'] ?? '/';
  const path = url.split('?')[0] ?? '/';
  const headers = { 'x-jupyterhub-version': VERSION };
  if (path === `${prefix}api` || path === `${prefix}api/`) {
    response.writeHead(200, { ...headers, 'content-type': 'application/json' });
    response.end(JSON.stringify({ version: VERSION }));
    return;
  }
  if (!path.startsWith(prefix) && `${path}/` !== prefix) {
    response.writeHead(404, { ...headers, 'content-type': 'text/plain; charset=utf-8' });
    response.end('Not found\n');
    return;
  }
  const title = escapeHtml(metadata?.annotations?.['labwright.dev/username'] ?? metadata?.name ?? 'lab');
  const image = escapeHtml(spec?.containers[0]?.image ?? '');
  response.writeHead(200, { ...headers, 'content-type': 'text/html; charset=utf-8' });
  response.end(
    `<!doctype html><html lang="en"><title>Lab of ${title}</title>` +
      `<body><h1>Lab of ${title}</h1><p>A simulated lab in the sandbox cluster, image <code>${image}</code>.</p></body></html>\n`,
  );
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${String(character.charCodeAt(0))};`);
}
