/** How a part of a Git host is spoken to; `url` is that part as the configuration has it. */
export type GitCredential =
  | { readonly kind: 'http'; readonly url: string; readonly username: string; readonly password: string }
  | { readonly kind: 'ssh'; readonly url: string; readonly privateKey: string; readonly knownHosts: string };

/** Whether a credential for `scope` is for `url`: same scheme, host and port, and the path below, whole parts of it. */
export function isInScope(scope: string, url: string): boolean {
  if (!URL.canParse(scope) || !URL.canParse(url)) return false;
  const [outer, inner] = [new URL(scope), new URL(url)];
  const path = outer.pathname.replace(/\/+$/, '');
  return (
    outer.protocol === inner.protocol &&
    outer.hostname.toLowerCase() === inner.hostname.toLowerCase() &&
    portOf(outer) === portOf(inner) &&
    (inner.pathname === path || inner.pathname.startsWith(`${path}/`))
  );
}

/** The entry for the smallest part of the host that the URL lies in. */
export function mostSpecific<T extends { readonly url: string }>(entries: readonly T[], url: string): T | undefined {
  return entries
    .filter((entry) => isInScope(entry.url, url))
    .sort((one, other) => other.url.replace(/\/+$/, '').length - one.url.replace(/\/+$/, '').length)[0];
}

/** Value of the Authorization header for a request, where the credential is for its address. */
export function basicAuthorization(credential: GitCredential | undefined, url: string): string | undefined {
  if (credential?.kind !== 'http' || !isInScope(credential.url, url)) return undefined;
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`;
}

/** URL knows the default ports of http and https; for it ssh has none. */
function portOf({ protocol, port }: URL): string {
  return protocol === 'ssh:' && port === '22' ? '' : port;
}
