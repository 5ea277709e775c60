import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { listAt, objectAt, specOf, textAt } from './kinds/common.ts';
import { nodes } from './kinds/nodes.ts';
import { pods } from './kinds/pods.ts';
import type { JsonObject, KubeObject } from './objects.ts';
import { isTrue, numberIn } from './request.ts';
import type { Cause } from './resource-type.ts';
import { ApiError, badRequest, cause, notFound } from './status.ts';
import type { Store } from './store.ts';

const TIMEOUT_MS = 10_000;
const ERROR_BYTES = 8 * 1024;

/** Options of GET pods/log, as the kubelet is given them. */
interface LogOptions {
  readonly container: string;
  readonly query: URLSearchParams;
}

/**
 * The log of a container, from the kubelet of the node that its pod is on.
 *
 * @returns the kubelet's answer, to be passed on; undefined for a pod that is on no node
 * @throws ApiError
 */
export async function openPodLog(
  store: Store,
  pod: KubeObject,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<IncomingMessage | undefined> {
  const options = readOptions(pod, query);
  const node = textAt(specOf(pod), 'nodeName');
  if (node === '') return undefined;
  const { namespace = '', name } = pod.metadata;
  const path = ['containerLogs', namespace, name, options.container].map(encodeURIComponent).join('/');
  const search = options.query.size === 0 ? '' : `?${options.query.toString()}`;
  const url = `${kubeletAddress(store, node)}/${path}${search}`;
  let answer: IncomingMessage;
  try {
    answer = await call(url, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new ApiError(500, '', `Get "${url}": ${error instanceof Error ? error.message : ''}`);
  }
  if (answer.statusCode === 200) return answer;
  const text = await readText(answer);
  if (answer.statusCode === 400) throw badRequest(text);
  if (answer.statusCode !== 404) throw new ApiError(500, 'InternalError', `Internal error occurred: ${text}`);
  const message = `the server could not find the requested resource ( pods/log ${name})`;
  throw new ApiError(404, 'NotFound', message, { name, kind: 'pods/log' });
}

/** Reads and checks the options, in the server's order: what cannot be read, what is not valid, which container. */
function readOptions(pod: KubeObject, query: URLSearchParams): LogOptions {
  const numbers = new Map(
    (['sinceSeconds', 'tailLines', 'limitBytes'] as const).map((field) => [field, numberIn(query, field)]),
  );
  const sinceTime = query.get('sinceTime') ?? '';
  if (sinceTime !== '' && Number.isNaN(Date.parse(sinceTime))) {
    const start = `parsing time ${JSON.stringify(sinceTime)} as "2006-01-02T15:04:05Z07:00"`;
    throw badRequest(`${start}: cannot parse ${JSON.stringify(sinceTime)} as "2006"`);
  }
  const [sinceSeconds, tailLines, limitBytes] = [...numbers.values()];
  refuseInvalid(pod, [
    ...(tailLines !== undefined && tailLines < 0
      ? [cause.invalid('tailLines', tailLines, 'must be greater than or equal to 0')]
      : []),
    ...(limitBytes !== undefined && limitBytes < 1
      ? [cause.invalid('limitBytes', limitBytes, 'must be greater than 0')]
      : []),
    ...(sinceSeconds !== undefined && sinceTime !== ''
      ? [cause.forbidden('[]', 'at most one of `sinceTime` or `sinceSeconds` may be specified')]
      : sinceSeconds !== undefined && sinceSeconds < 1
        ? [cause.invalid('sinceSeconds', sinceSeconds, 'must be greater than 0')]
        : []),
  ]);
  const passed = new URLSearchParams();
  for (const field of ['follow', 'previous', 'timestamps']) if (isSet(query, field)) passed.set(field, 'true');
  for (const [field, value] of numbers) if (value !== undefined) passed.set(field, String(value));
  // Whole seconds are all that goes over this wire.
  if (sinceTime !== '') passed.set('sinceTime', `${new Date(sinceTime).toISOString().slice(0, 19)}Z`);
  return { container: containerOf(pod, query.get('container') ?? ''), query: passed };
}

/** As Kubernetes reads a flag: anything but `false` and `0` sets it. */
function isSet(query: URLSearchParams, name: string): boolean {
  return isTrue(query, name) || !['false', '0', null].includes(query.get(name));
}

function refuseInvalid({ metadata: { name } }: KubeObject, causes: readonly Cause[]): void {
  if (causes.length === 0) return;
  const all = causes.map(({ field, message }) => `${field}: ${message}`);
  const text = all.length === 1 ? all[0] : `[${all.join(', ')}]`;
  const message = `PodLogOptions "${name}" is invalid: ${text}`;
  throw new ApiError(422, 'Invalid', message, { name, kind: 'PodLogOptions', causes });
}

function containerOf(pod: KubeObject, asked: string): string {
  const { name } = pod.metadata;
  const namesIn = (field: string) => listAt(specOf(pod), field).map((container) => textAt(container, 'name'));
  const [containers, init] = [namesIn('containers'), namesIn('initContainers')];
  if (asked === '') {
    const [only = ''] = containers;
    if (containers.length === 1 && init.length === 0) return only;
    const others = init.length === 0 ? '' : ` or one of the init containers: [${init.join(' ')}]`;
    const choice = `choose one of: [${containers.join(' ')}]${others}`;
    throw badRequest(`a container name must be specified for pod ${name}, ${choice}`);
  }
  if (![...containers, ...init].includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${name}`);
  return asked;
}

function kubeletAddress(store: Store, name: string): string {
  const node = store.get(nodes, '', name);
  // The server says it so.
  if (node === undefined) throw notFound(pods, name);
  const status: JsonObject = objectAt(node, 'status');
  const address = listAt(status, 'addresses').find(({ type }) => type === 'InternalIP') ?? {};
  const port = objectAt(objectAt(status, 'daemonEndpoints'), 'kubeletEndpoint')['Port'];
  return `https://${textAt(address, 'address')}:${String(port)}`;
}

/** Kubelets have certificates of their own making, which nobody checks. */
function call(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { rejectUnauthorized: false, agent: false, signal, timeout: TIMEOUT_MS };
    const calling = request(url, options, (answer) => {
      // A log may be silent for as long as it likes.
      calling.setTimeout(0);
      resolve(answer);
    });
    calling.once('timeout', () => calling.destroy(new Error('net/http: request canceled')));
    calling.on('error', reject);
    calling.end();
  });
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if (Buffer.concat(chunks).length > ERROR_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}
