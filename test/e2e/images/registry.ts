import { createHash, randomBytes } from 'node:crypto';
import { request } from 'undici';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';
const BLOCK = 512;
const LAYER_BYTES = 3 * 2 ** 20;

/** What is in a registry that asks for no login. */
export class Registry {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async digestOf(name: string, tag: string): Promise<string | undefined> {
    const { headers } = await this.#ask('HEAD', `/v2/${name}/manifests/${tag}`);
    return headers['docker-content-digest'] as string | undefined;
  }

  /** Takes a manifest out of the registry. @returns it */
  async take(name: string, digest: string): Promise<Buffer> {
    const { body } = await this.#ask('GET', `/v2/${name}/manifests/${digest}`);
    const manifest = Buffer.from(await body.arrayBuffer());
    const { statusCode } = await this.#ask('DELETE', `/v2/${name}/manifests/${digest}`);
    if (statusCode !== 202) throw new Error(`The registry does not delete ${name}: ${String(statusCode)}`);
    return manifest;
  }

  async put(name: string, tag: string, manifest: Buffer): Promise<void> {
    await put(`${this.url}/v2/${name}/manifests/${tag}`, manifest, MANIFEST);
  }

  #ask(method: 'GET' | 'HEAD' | 'DELETE', path: string) {
    return request(`${this.url}${path}`, { method, headers: { accept: MANIFEST } });
  }
}

/** Pushes an image of one layer with a file of random bytes, and nothing that could be run. @returns its digest */
export async function pushImage(url: string, name: string, tag: string): Promise<string> {
  const layer = tarOf('data', randomBytes(LAYER_BYTES));
  const config = Buffer.from(
    JSON.stringify({
      ...{ architecture: 'amd64', os: 'linux', config: {} },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: MANIFEST },
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...(await pushBlob(url, name, config)) },
      layers: [{ mediaType: LAYER, ...(await pushBlob(url, name, layer)) }],
    }),
  );
  await put(`${url}/v2/${name}/manifests/${tag}`, manifest, MANIFEST);
  return digestOf(manifest);
}

async function pushBlob(url: string, name: string, blob: Buffer): Promise<{ digest: string; size: number }> {
  const { headers, body } = await request(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST' });
  await body.dump();
  const place = new URL(String(headers.location), url);
  const digest = digestOf(blob);
  place.searchParams.set('digest', digest);
  await put(place.href, blob, 'application/octet-stream');
  return { digest, size: blob.length };
}

async function put(url: string, content: Buffer, type: string): Promise<void> {
  const { statusCode, body } = await request(url, { method: 'PUT', body: content, headers: { 'content-type': type } });
  await body.dump();
  if (statusCode !== 201) throw new Error(`The registry answers ${String(statusCode)} to a push`);
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** One file, as POSIX.1-1988 has it. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(BLOCK);
  const fields: readonly (readonly [number, string])[] = [
    [0, name],
    [100, '0000644\0'],
    [108, '0000000\0'],
    [116, '0000000\0'],
    [124, `${content.length.toString(8).padStart(11, '0')}\0`],
    [136, '00000000000\0'],
    [148, ' '.repeat(8)],
    [156, '0'],
    [257, 'ustar\0' + '00'],
  ];
  for (const [at, text] of fields) header.write(text, at, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  return Buffer.concat([header, content, padding, Buffer.alloc(2 * BLOCK)]);
}
