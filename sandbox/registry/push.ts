import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import { parseImageReference } from '../../src/domain/image/image-reference.ts';

/** Credentials of the registry, as the Authorization header has them, and what ends the push early. */
export interface PushOptions {
  readonly authorization?: string;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 10_000;
const ANSWER_BYTES = 64 * 1024;
/** A tar archive with nothing in it. */
const EMPTY_TAR = Buffer.alloc(1024);
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3})(?::\d+)?$/;

/**
 * Pushes an image in which nothing is but `content`, as a label: the same content is the same digest. It goes over plain
 * HTTP, and to this machine only: what the sandbox plays must not end up in a registry that others use.
 *
 * @param reference with a tag: `127.0.0.1:5000/labs/ada--notebooks:1`
 * @returns the digest of its manifest
 * @throws Error when the registry does not take it; it names the status and nothing of the answer
 */
export async function pushImage(reference: string, content: string, options: PushOptions = {}): Promise<string> {
  const parsed = parseImageReference(reference);
  if (parsed === undefined || parsed.tag === null) throw new TypeError('expected an image reference with a tag');
  if (!LOOPBACK.test(parsed.registry)) throw new Error('the sandbox pushes to a registry on this machine only');
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
  const dispatcher = new Agent({
    connections: 1,
    maxResponseSize: ANSWER_BYTES,
  });
  const origin = `http://${parsed.registry}`;
  const repository = `${origin}/v2/${parsed.repository}`;

  async function send(method: 'POST' | 'PUT', url: string, body: Buffer, type: string) {
    const headers = {
      'content-type': type,
      ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
    };
    const answer = await request(url, {
      method,
      body,
      headers,
      dispatcher,
      signal,
    });
    await answer.body.dump();
    if (answer.statusCode >= 300) throw new Error(`the registry answers a push with ${answer.statusCode}`);
    return answer.headers;
  }

  async function pushBlob(blob: Buffer): Promise<void> {
    const { location } = await send('POST', `${repository}/blobs/uploads/`, Buffer.alloc(0), 'text/plain');
    const upload = new URL(String(location), origin);
    if (upload.origin !== origin) throw new Error('the registry wants the upload to go elsewhere');
    upload.searchParams.set('digest', digestOf(blob));
    await send('PUT', upload.href, blob, 'application/octet-stream');
  }

  try {
    const { manifest, blobs } = makeImage(content);
    await Promise.all(blobs.map(pushBlob));
    await send('PUT', `${repository}/manifests/${parsed.tag}`, manifest, MANIFEST_TYPE);
    return digestOf(manifest);
  } finally {
    await dispatcher.destroy();
  }
}

/** An image that any registry takes: one empty layer, and a configuration with the content as a label. */
function makeImage(content: string): { manifest: Buffer; blobs: Buffer[] } {
  const layer = gzipSync(EMPTY_TAR);
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: { 'dev.labwright.sandbox': content } },
    rootfs: { type: 'layers', diff_ids: [digestOf(EMPTY_TAR)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)],
  });
  return { manifest, blobs: [config, layer] };
}

function describe(mediaType: string, blob: Buffer) {
  return { mediaType, digest: digestOf(blob), size: blob.length };
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
