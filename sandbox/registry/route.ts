/** What a URL of the registry means. */
export type Route =
  | { readonly kind: 'base'; readonly query: URLSearchParams }
  | { readonly kind: 'token'; readonly query: URLSearchParams }
  | {
      readonly kind: 'manifests' | 'blobs' | 'tags' | 'begin' | 'upload';
      readonly repository: string;
      /** Tag, digest, or the id of an upload. */
      readonly reference: string;
      readonly query: URLSearchParams;
    };

const PART = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const BELOW = '(?:(manifests|blobs)/([^/]+)|(tags)/list|blobs/uploads/([0-9a-fA-F-]*))';
const RESOURCE = new RegExp(`^/v2/(${PART}(?:/${PART})*)/${BELOW}$`);
const REFERENCE = /^(?:\w[\w.-]{0,127}|[a-z0-9]+:[0-9a-zA-Z]+)$/;

/** @returns undefined for what is no path of a registry */
export function parseRoute(url: string): Route | undefined {
  const [pathname = '/', search = ''] = url.split('?', 2);
  const query = new URLSearchParams(search);
  if (pathname === '/v2/') return { kind: 'base', query };
  if (pathname === '/token') return { kind: 'token', query };
  const [, repository = '', kind, reference = '', tags, upload] = RESOURCE.exec(pathname) ?? [];
  if (kind === 'manifests' || kind === 'blobs') {
    return REFERENCE.test(reference) ? { kind, repository, reference, query } : undefined;
  }
  if (tags !== undefined) return { kind: 'tags', repository, reference: '', query };
  if (upload === undefined) return undefined;
  return { kind: upload === '' ? 'begin' : 'upload', repository, reference: upload, query };
}
