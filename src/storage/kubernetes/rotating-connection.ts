import { Dispatcher } from 'undici';
import { reread } from '../../util/memo.ts';
import type { Headers, KubeConnection, TlsOptions } from './connection.ts';

/** Tokens, certificates and exec credentials are replaced minutes before they expire: half a minute is often enough. */
const REREAD_MS = 30_000;
/** What is refused all the time is not read anew for every call, in milliseconds. */
const RENEW_MS = 1_000;

export interface Credentials {
  readonly headers: Headers;
  readonly tls: TlsOptions;
}

export interface RotatingOptions {
  readonly server: string;
  /** @param afresh what was read before was refused: nothing of it is to be taken again */
  readonly read: (afresh: boolean) => Promise<Credentials>;
  readonly first?: Credentials;
  readonly connect: (tls: TlsOptions) => Dispatcher;
}

/**
 * A connection whose files may be replaced at any time, authorities and client certificates as well as tokens. A pool is
 * bound to what its sockets were opened with, so another one takes its place when that changes; what goes on through the
 * old one (watches) ends by itself.
 */
export function rotatingConnection({ server, read, first, connect }: RotatingOptions): KubeConnection {
  let isAfresh = false;
  const load = () => {
    const afresh = isAfresh;
    isAfresh = false;
    return read(afresh);
  };
  let current = reread(REREAD_MS, load, first);
  let latest: Headers | undefined;
  let renewedAt = Number.NEGATIVE_INFINITY;
  const pools = rotatingPool(connect);
  if (first !== undefined) pools.use(first.tls);
  return {
    server: server.replace(/\/$/, ''),
    dispatcher: pools.dispatcher,
    async headers() {
      const { headers, tls } = await current();
      latest = headers;
      pools.use(tls);
      return headers;
    },
    renew(used) {
      if (used !== latest) return true;
      const now = performance.now();
      if (now - renewedAt < RENEW_MS) return false;
      renewedAt = now;
      // Whoever was refused with them meanwhile waits for the same reading.
      latest = undefined;
      isAfresh = true;
      current = reread(REREAD_MS, load);
      return true;
    },
    close: () => pools.dispatcher.close(),
  };
}

function rotatingPool(connect: (tls: TlsOptions) => Dispatcher) {
  const pools = new Set<Dispatcher>();
  let current: { readonly pool: Dispatcher; readonly key: string; tls: TlsOptions } | undefined;
  const use = (tls: TlsOptions) => {
    // Asked before each request, and read anew now and then.
    if (current?.tls === tls) return;
    const key = keyOf(tls);
    if (current?.key === key) {
      current.tls = tls;
      return;
    }
    const before = current?.pool;
    current = { pool: connect(tls), key, tls };
    pools.add(current.pool);
    void before?.close().then(() => pools.delete(before));
  };
  const all = async (end: (pool: Dispatcher) => Promise<void>) => {
    await Promise.all([...pools].map(end));
  };
  const dispatcher = Object.assign(new Dispatcher(), {
    dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
      if (current === undefined) throw new TypeError('the credentials have not been read yet');
      return current.pool.dispatch(options, handler);
    },
    close: () => all((pool) => pool.close()),
    destroy: () => all((pool) => pool.destroy()),
  });
  return { dispatcher, use };
}

function keyOf(tls: TlsOptions): string {
  return JSON.stringify(tls, (_name, value: unknown) => (value instanceof Uint8Array ? String(value) : value));
}
