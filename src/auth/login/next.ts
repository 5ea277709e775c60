import type { PublicAddress } from './cookie.ts';

const LENGTH = 1024;
/** What a path of ours is written with. An encoded slash, backslash, dot, percent sign or control character is not. */
const PATH = /^(?:\/(?:[\w.~!$&'()*+,;=:@-]|%(?!2[ef5]|5c|[01][0-9a-f]|7f)[0-9a-f]{2})*)+$/i;
const QUERY = /^(?:\?[\w.~!$&'()*+,;=:@/?%-]*)?$/;
/** Going there after a login would mean another one, or the end of it. */
const NOT_AFTER_LOGIN = ['/login', '/oauth_callback', '/logout'];

/**
 * Where a browser may be sent after a login: an address of a page below our path, as it was asked for, and nothing else.
 * It is for the browser that the answer is written down again from its parts.
 *
 * @param next what the request says; any text
 * @returns path and query; undefined when it is anything else
 */
export function safeNext(next: string | undefined, { origin, path }: PublicAddress): string | undefined {
  if (next === undefined || next.length > LENGTH) return undefined;
  const [written = ''] = next.split('?', 1);
  if (!PATH.test(written) || written.includes('//') || !QUERY.test(next.slice(written.length))) return undefined;
  const url = URL.parse(next, origin);
  if (url?.origin !== origin || url.pathname !== written) return undefined;
  const below = url.pathname === path ? '/' : url.pathname.slice(path.length);
  if (!url.pathname.startsWith(path) || !below.startsWith('/')) return undefined;
  if (NOT_AFTER_LOGIN.some((page) => below === page || below.startsWith(`${page}/`))) return undefined;
  return `${url.pathname}${url.search}`;
}
