import type { Config } from '../../config/index.ts';
import type { LabKey } from '../../domain/lab/lab.ts';
import { type AppContext, headerValues, remoteAddress } from './context.ts';

const HOST = /^(?:[a-zA-Z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::\d{1,5})?$/;

/** Path of one lab below the prefix, with every part percent-encoded. */
export function labPath({ username, servername }: LabKey): string {
  const lab = `/spawner/v1/labs/${encodeURIComponent(username)}`;
  return servername === '' ? lab : `${lab}/servers/${encodeURIComponent(servername)}`;
}

/**
 * Where the caller finds this API: scheme and host as the proxy in front reports them, if it is one of the trusted, and
 * otherwise the configured base URL. The Host header of a request is never believed.
 */
export function publicUrl(
  c: AppContext,
  { baseUrl, pathPrefix }: Pick<Config, 'baseUrl' | 'pathPrefix'>,
  isTrusted: (address: string | undefined) => boolean,
): string {
  return `${(isTrusted(remoteAddress(c)) ? forwardedOrigin(c) : undefined) ?? baseUrl}${pathPrefix}`;
}

function forwardedOrigin(c: AppContext): string | undefined {
  const host = last(headerValues(c, 'x-forwarded-host'));
  const scheme = last(headerValues(c, 'x-forwarded-proto'))?.toLowerCase();
  if (host === undefined || !HOST.test(host) || (scheme !== 'http' && scheme !== 'https')) return undefined;
  return `${scheme}://${host}`;
}

/** One hop is trusted: of what several proxies appended only the last word is ours. */
function last(values: readonly string[]): string | undefined {
  return values.at(-1)?.split(',').at(-1)?.trim();
}
