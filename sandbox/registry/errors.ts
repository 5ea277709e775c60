/** An answer of the registry that is no success, in the words of the distribution specification. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: string, message: string, detail?: unknown, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
    this.body = `${JSON.stringify({ errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] })}\n`;
  }
}

const DIGEST_INVALID = 'provided digest did not match uploaded content';

/** Codes, words and details as the reference implementation has them. */
export const refuse = {
  manifest: (detail?: object) => new Refusal(404, 'MANIFEST_UNKNOWN', 'manifest unknown', detail),
  manifestType: (type: string) => {
    const what = type.includes('index') ? 'index' : 'manifest';
    const plural = what === 'index' ? 'indexes' : 'manifests';
    return new Refusal(404, 'MANIFEST_UNKNOWN', `OCI ${what} found, but accept header does not support OCI ${plural}`);
  },
  invalidManifest: () => new Refusal(400, 'MANIFEST_INVALID', 'manifest invalid', {}),
  missingBlob: (digest: string) => new Refusal(400, 'MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', digest),
  blob: (digest: string) => new Refusal(404, 'BLOB_UNKNOWN', 'blob unknown to registry', digest),
  name: (name: string) => new Refusal(404, 'NAME_UNKNOWN', 'repository name not known to registry', { name }),
  upload: () => new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry'),
  stale: () => new Refusal(404, 'BLOB_UPLOAD_INVALID', 'blob upload invalid'),
  digest: (detail?: object | string) => new Refusal(400, 'DIGEST_INVALID', DIGEST_INVALID, detail),
  digestOf: (digest: string) => new Refusal(400, 'DIGEST_INVALID', DIGEST_INVALID, { Digest: digest, Reason: {} }),
  unauthorized: (challenge: string) =>
    new Refusal(401, 'UNAUTHORIZED', 'authentication required', null, { 'www-authenticate': challenge }),
  /** The reference implementation has no bound; the specification's code for too much is this. */
  full: () => new Refusal(413, 'SIZE_INVALID', 'the registry of the sandbox is full'),
};
