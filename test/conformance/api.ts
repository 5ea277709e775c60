import { afterAll, beforeAll, expect } from 'vitest';
import type { Dispatcher } from 'undici';
import { type KubeConnection, tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { askAgain } from '../support/wait-for.ts';

/** What tests look at in an object, a list or a Status as it came over the wire. */
export interface Wire {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: WireMetadata;
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
  readonly stringData: unknown;
  readonly spec: WireSpec;
  readonly status: {
    readonly phase: string;
    readonly qosClass: string;
    readonly conditions: readonly object[];
    readonly used?: Readonly<Record<string, string>>;
  };
  readonly items: readonly Wire[];
  readonly reason: string;
  readonly message: string;
  readonly details: { readonly kind: string; readonly causes: readonly object[] };
  readonly gitVersion: string;
}

export interface WireMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly generation: number;
  readonly deletionTimestamp: string;
  readonly deletionGracePeriodSeconds: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly continue: string;
  readonly remainingItemCount: number;
}

export interface WireSpec {
  readonly nodeName: string;
  readonly restartPolicy: string;
  readonly clusterIP: string;
  readonly containers: readonly {
    readonly image: string;
    readonly imagePullPolicy: string;
    readonly resources: object;
    readonly volumeMounts: readonly object[];
  }[];
  readonly volumes: readonly object[];
  readonly tolerations: readonly { readonly key: string }[];
  readonly imagePullSecrets: readonly object[];
  readonly limits: readonly object[];
  readonly policyTypes: readonly string[];
}

export interface WireEvent {
  readonly type: string;
  readonly object: Wire;
}

export interface Answer {
  readonly status: number;
  /** A text where the server did not answer with JSON. */
  readonly body: Wire;
  readonly headers: Record<string, string | string[] | undefined>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** null: no Authorization header. */
  readonly token?: string | null;
}

export const MERGE = 'application/merge-patch+json';
export const APPLY = 'application/apply-patch+yaml';
export const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
export const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/** The bare HTTP API of the cluster under test: what is tested here is the wire, not our client. */
export class Api {
  cluster!: TestCluster;
  #connection!: KubeConnection;

  async start(): Promise<void> {
    this.cluster = await startCluster();
    this.#connection = tokenConnection(this.cluster.direct);
  }

  async close(): Promise<void> {
    await this.#connection.dispatcher.destroy();
    await this.cluster.close();
  }

  async call(method: Dispatcher.HttpMethod, path: string, options: CallOptions = {}): Promise<Answer> {
    const answer = await this.#send(method, path, options);
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).startsWith('application/json');
    const body = (isJson ? JSON.parse(text) : text) as Wire;
    return { status: answer.statusCode, body, headers: answer.headers };
  }

  get(path: string, accept?: string): Promise<Answer> {
    return this.call('GET', path, accept === undefined ? {} : { accept });
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.call('POST', path, { body });
  }

  put(path: string, body: unknown): Promise<Answer> {
    return this.call('PUT', path, { body });
  }

  merge(path: string, body: unknown): Promise<Answer> {
    return this.call('PATCH', path, { body, contentType: MERGE });
  }

  apply(path: string, body: unknown, manager = 'tests'): Promise<Answer> {
    return this.call('PATCH', `${path}?fieldManager=${manager}&force=true`, { body, contentType: APPLY });
  }

  delete(path: string, body?: unknown): Promise<Answer> {
    return this.call('DELETE', path, { body });
  }

  /** A new namespace with a service account `lab`, as every lab has one. @returns its path */
  async namespace(labels: Record<string, string> = {}): Promise<{ name: string; path: string }> {
    const name = this.cluster.uniqueName('conformance');
    expect(await this.post('/api/v1/namespaces', { metadata: { name, labels } })).toMatchObject({ status: 201 });
    const path = `/api/v1/namespaces/${name}`;
    await this.post(`${path}/serviceaccounts`, { metadata: { name: 'lab' } });
    return { name, path };
  }

  /** The events of a watch until it has sent so many (bookmarks not counted, unless asked for) or the server ends it. */
  async watch(
    path: string,
    options: { count?: number; until?: (event: WireEvent) => boolean; bookmarks?: boolean; accept?: string } = {},
  ): Promise<WireEvent[]> {
    const { count = Number.POSITIVE_INFINITY, until = () => false, bookmarks = false, accept } = options;
    const answer = await this.#send('GET', path, accept === undefined ? {} : { accept });
    expect(answer.statusCode).toBe(200);
    const events: WireEvent[] = [];
    let rest = '';
    answer.body.setEncoding('utf8');
    for await (const chunk of answer.body as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      events.push(
        ...lines.map((line) => JSON.parse(line) as WireEvent).filter((e) => bookmarks || e.type !== 'BOOKMARK'),
      );
      if (events.length >= count || events.some(until)) break;
    }
    return events;
  }

  async #send(method: Dispatcher.HttpMethod, path: string, options: CallOptions) {
    const { body, contentType = 'application/json', accept = 'application/json', token } = options;
    const authorization =
      token === undefined ? (await this.#connection.headers()).authorization : `Bearer ${token ?? ''}`;
    return this.#connection.dispatcher.request({
      origin: this.#connection.server,
      path,
      method,
      headers: {
        accept,
        ...(token === null ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': contentType }),
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
  }
}

/** The API for one test file. */
export function useApi(): Api {
  const api = new Api();
  beforeAll(() => api.start());
  afterAll(() => api.close());
  return api;
}

/** A pod as labs have them. */
export function aPod(name = 'lab', spec: object = {}, metadata: object = {}): object {
  return {
    metadata: { name, ...metadata },
    spec: {
      serviceAccountName: 'lab',
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      containers: [{ name: 'notebook', image: 'registry.example/lab:1' }],
      ...spec,
    },
  };
}

/** Asks again until the answer is as wanted, at most for `timeoutMs`. @returns that answer */
export async function eventually<T>(
  ask: () => Promise<T>,
  isWanted: (answer: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const complaint = (answer: T) => `Still not so: ${JSON.stringify(answer)}`;
  return askAgain({ ask, isWanted, timeoutMs, intervalMs: 20, complaint });
}

/** A refusal in Kubernetes' form. */
export function refusal(code: number, reason: string, message: string, details?: object): object {
  return {
    status: code,
    body: {
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason },
      ...(details === undefined ? {} : { details }),
      code,
    },
  };
}
