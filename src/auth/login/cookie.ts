import { createHash } from 'node:crypto';

/** Where people find this instance. */
export interface PublicAddress {
  /** Origin of the base URL: `https://hub.example.org`. */
  readonly origin: string;
  /** Path of this program in browsers, without a slash at the end: `/labwright`. */
  readonly path: string;
}

/** @param baseUrl without a slash at the end; it may have a path of its own, which browsers then see before the prefix */
export function publicAddress({ baseUrl, pathPrefix }: { baseUrl: string; pathPrefix: string }): PublicAddress {
  const { origin, pathname } = new URL(`${baseUrl}${pathPrefix}`);
  return { origin, path: pathname.replace(/\/+$/, '') };
}

/** One cookie of this instance. */
export interface Cookie {
  readonly name: string;
  /** The header that gives it to a browser, for so many seconds. */
  set(value: string, maxAgeS: number): string;
  /** The header that takes it away. */
  clear(): string;
  /** @returns its value in the `Cookie` headers of a request; undefined when it is absent, or there more than once */
  read(headers: readonly string[]): string | undefined;
  isIn(headers: readonly string[]): boolean;
}

/**
 * A cookie that no script reads, that is sent over TLS only where the base URL says so, and not with the requests that
 * other sites make.
 *
 * It goes to our own path only: on the same host are users' labs, which run whatever their users want and must not get it.
 * That rules out `__Host-`, which demands the path `/`, wherever we have a path. A sibling domain can then plant a cookie
 * of this name; ours beside it makes two, and two are none.
 *
 * The name differs by instance, since browsers tell neither ports nor longer paths apart.
 */
export function cookieOf(kind: string, { origin, path }: PublicAddress, below = ''): Cookie {
  const cookiePath = `${path}${below}` || '/';
  const secure = origin.startsWith('https:');
  const prefix = secure ? (cookiePath === '/' ? '__Host-' : '__Secure-') : '';
  const instance = createHash('sha256').update(`${origin}${path}`).digest('hex').slice(0, 8);
  const name = `${prefix}labwright-${kind}-${instance}`;
  const attributes = `Path=${cookiePath}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
  const values = (headers: readonly string[]) =>
    headers
      .flatMap((header) => header.split(';'))
      .map((pair) => pair.trim())
      .filter((pair) => pair.startsWith(`${name}=`))
      .map((pair) => pair.slice(name.length + 1));

  return {
    name,
    set: (value, maxAgeS) => `${name}=${value}; Max-Age=${String(maxAgeS)}; ${attributes}`,
    clear: () => `${name}=; Max-Age=0; ${attributes}`,
    read: (headers) => {
      const [value, ...others] = values(headers);
      return others.length === 0 ? value : undefined;
    },
    isIn: (headers) => values(headers).length > 0,
  };
}
