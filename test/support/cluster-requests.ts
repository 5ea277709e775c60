/** One request to a Kubernetes API, read from its method and URL. */
export interface KubeRequest {
  /** 1 for the first request the server saw. */
  readonly n: number;
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  /** Path alone. */
  readonly path: string;
  readonly verb: Verb;
  /** Plural, `pods`; empty for paths that are no resource (`/version`). */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** `status`, `binding`, …; empty for the object itself. */
  readonly subresource: string;
  /** `performance.now()` when it arrived. */
  readonly time: number;
}

/** Kubernetes' own verbs, as in RBAC rules; `get` also for paths that are no resource. */
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** Reads what a request asks of a Kubernetes API, as the API server's own request-info resolver does. */
export function parseKubeRequest(n: number, method: string, url: string): KubeRequest {
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const parts = pathname.split('/').filter((part) => part !== '');
  const rest = parts[0] === 'api' ? parts.slice(2) : parts[0] === 'apis' ? parts.slice(3) : [];
  // A namespace has subresources of its own, which look like resources inside of it.
  const inside = rest[0] === 'namespaces' && rest.length > 2 && rest[2] !== 'status' && rest[2] !== 'finalize';
  const namespace = inside ? (rest[1] ?? '') : '';
  const [resource = '', name = '', subresource = ''] = (inside ? rest.slice(2) : rest).map(decodeURIComponent);
  const watch = ['true', '1'].includes(searchParams.get('watch') ?? '');
  const verb = verbOf(method, name !== '' || resource === '', watch);
  return { n, method, url, path: pathname, verb, resource, namespace, name, subresource, time: performance.now() };
}

function verbOf(method: string, single: boolean, watch: boolean): Verb {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return single ? 'delete' : 'deletecollection';
    default:
      return watch ? 'watch' : single ? 'get' : 'list';
  }
}

/** What a server was asked, and which watches it serves at this moment. */
export class RequestLog {
  readonly all: KubeRequest[] = [];
  /** Watches that are open now. */
  readonly openWatches = new Set<KubeRequest>();

  /** Notes a request; the return value is called when its answer has ended or broken. */
  add(request: KubeRequest): () => void {
    this.all.push(request);
    if (request.verb === 'watch') this.openWatches.add(request);
    return () => this.openWatches.delete(request);
  }

  /** The requests since a moment of `performance.now()`, without watches unless asked for. */
  calls(since = 0, filter: (request: KubeRequest) => boolean = isCall): KubeRequest[] {
    return this.all.filter((request) => request.time >= since && filter(request));
  }

  /** `create pods ns/name`, one line each: what a failed count prints. */
  describe(since = 0): string {
    return this.calls(since, () => true)
      .map(({ verb, resource, namespace, name, subresource }) =>
        [
          verb,
          subresource === '' ? resource : `${resource}/${subresource}`,
          [namespace, name].filter(Boolean).join('/'),
        ]
          .filter(Boolean)
          .join(' '),
      )
      .join('\n');
  }

  clear(): void {
    this.all.length = 0;
  }
}

function isCall(request: KubeRequest): boolean {
  return request.verb !== 'watch' && request.resource !== '';
}
