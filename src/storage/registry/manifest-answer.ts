import { sha256 } from './manifest.ts';
import { parseJson } from './parse-json.ts';
import { denied, unavailable } from './problems.ts';
import { isOutage, type RegistryAnswer, retryAfterMs } from './registry-http.ts';

/** All that an image can be: an index or a manifest, of OCI or of Docker. A registry may hide what is not accepted. */
export const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

export const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** What is asked again with GET: registries that know no HEAD, and answers to it that say too little. */
export type Reading = { readonly digest: string | null } | 'ask with GET';

/**
 * What the answer to a question for a manifest means. That an image is not there is believed only when the registry says so
 * in its own words: a proxy in front of it that knows no such path must not make everything be built again.
 *
 * @param context `isHub`: Docker Hub answers 401 for what is not there, also to somebody it knows
 * @throws {RegistryProblem}
 */
export function readManifestAnswer(
  answer: RegistryAnswer,
  method: 'GET' | 'HEAD',
  context: {
    readonly host: string;
    readonly isHub: boolean;
    readonly shown: 'nothing' | 'credentials' | 'token';
    readonly hasCredential: boolean;
  },
): Reading {
  const { status, headers } = answer;
  const { host, isHub, shown, hasCredential } = context;
  if (status === 200) return readFound(answer, method, host);
  if (method === 'HEAD' && (status === 404 || status === 400 || status === 405 || status === 501))
    return 'ask with GET';
  if (status === 404) {
    if (speaksRegistry(answer)) return { digest: null };
    throw unavailable(host, 'is not where it should be (404 from something else)');
  }
  if (status === 401 && isHub && shown === 'token') return { digest: null };
  if (status === 401 || status === 403) throw denied(host, hasCredential);
  throw unavailable(host, `answers with ${status}`, {
    retryAfterMs: retryAfterMs(headers),
    transient: isOutage(status),
  });
}

function readFound({ headers, body }: RegistryAnswer, method: 'GET' | 'HEAD', host: string): Reading {
  const digest = headers['docker-content-digest'];
  if (typeof digest === 'string' && DIGEST.test(digest)) return { digest };
  if (method === 'HEAD') return 'ask with GET';
  if (!isManifest(body)) throw unavailable(host, 'answers with something that is no manifest');
  return { digest: sha256(body) };
}

function isManifest(body: Buffer): boolean {
  const { schemaVersion, mediaType } = parseObject(body) ?? {};
  return (
    schemaVersion === 2 &&
    (mediaType === undefined || (typeof mediaType === 'string' && MANIFEST_TYPES.includes(mediaType)))
  );
}

/** Errors in the specification's form, its header, or nothing at all; not a web page. */
export function speaksRegistry({ headers, body }: RegistryAnswer): boolean {
  if (body.length === 0 || headers['docker-distribution-api-version'] !== undefined) return true;
  return Array.isArray(parseObject(body)?.['errors']);
}

function parseObject(body: Buffer): Record<string, unknown> | undefined {
  const value = parseJson(body);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
