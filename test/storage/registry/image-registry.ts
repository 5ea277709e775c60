import { createHash } from 'node:crypto';
import pino from 'pino';
import { OciRegistry } from '../../../src/storage/registry/image-registry.ts';
import type { Script, Seen } from './scripted-registry.ts';

export const OCI = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};
export const DOCKER = {
  index: 'application/vnd.docker.distribution.manifest.list.v2+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

export function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** What a registry holds, by `repository/manifests/tag` and its like. */
export class Contents {
  readonly #documents = new Map<string, { readonly type: string; readonly text: string }>();

  put(repository: string, tag: string | null, type: string, value: object): string {
    const text = JSON.stringify(value);
    const digest = digestOf(text);
    const kind = type.includes('.config.') || type.includes('.container.') ? 'blobs' : 'manifests';
    for (const name of [digest, ...(tag === null ? [] : [tag])]) {
      this.#documents.set(`${repository}/${kind}/${name}`, { type, text });
    }
    return digest;
  }

  /** An image with layers of so many bytes. @returns its digest */
  putImage(repository: string, tag: string | null, layers: readonly number[], architecture = 'amd64', types = OCI) {
    const config = JSON.stringify({ architecture, os: 'linux' });
    this.put(repository, null, types.config, { architecture, os: 'linux' });
    return this.put(repository, tag, types.manifest, {
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.length },
      layers: layers.map((size, at) => ({ mediaType: types.layer, digest: digestOf(String(at)), size })),
    });
  }

  remove(path: string): void {
    this.#documents.delete(path);
  }

  /** As a registry answers; `head` is what it leaves away. */
  answer({ url, headers, method }: Seen): Script {
    const found = this.#documents.get(decodeURIComponent(url).replace(/^\/v2\//, ''));
    if (found === undefined) return { status: 404, body: JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN' }] }) };
    const digest = digestOf(found.text);
    if (headers['if-none-match'] === `"${digest}"`) return { status: 304, headers: { etag: `"${digest}"` } };
    return {
      status: 200,
      headers: { 'content-type': found.type, 'docker-content-digest': digest, etag: `"${digest}"` },
      ...(method === 'HEAD' ? {} : { body: found.text }),
    };
  }
}

export interface RegistryOptions {
  readonly host: string;
  readonly url?: string;
  readonly timeout?: number;
  readonly auths?: object;
  readonly tokenHosts?: readonly string[];
}

export function makeRegistry({ host, url, timeout = 5_000, auths, tokenHosts }: RegistryOptions): {
  registry: OciRegistry;
  logs: string[];
} {
  const logs: string[] = [];
  const registry = new OciRegistry({
    settings: { host, url, insecure: false, timeout, tokenHosts },
    credentials: () => Promise.resolve(auths === undefined ? null : JSON.stringify({ auths })),
    retryMs: 1,
    logger: pino({ level: 'trace' }, { write: (line: string) => void logs.push(line) }),
  });
  return { registry, logs };
}
