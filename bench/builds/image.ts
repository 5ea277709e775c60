import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tar } from '../../src/storage/docker-engine/tar.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';
const SCRIPT = join(import.meta.dirname, 'repo2docker.sh');
/** Where the scripted builds find the one blob of their images. */
const EMPTY_REPOSITORY = 'bench-builds/empty';
const DEADLINE_MS = 30_000;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

interface ImageConfig {
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history?: readonly unknown[];
}

/**
 * Pushes the scripted builder: a base image with a shell and curl, and one layer with the script in repo2docker's place.
 *
 * @param host of a registry that speaks plain HTTP and wants no login
 * @param base repository and tag in it: `base:1`
 * @returns the reference of the builder
 */
export async function pushScriptedBuilder(host: string, base: string): Promise<string> {
  const [repository = '', tag = ''] = base.split(':');
  const registry = `http://${host}/v2`;
  const manifest = (await get(`${registry}/${repository}/manifests/${tag}`)) as Manifest;
  const config = (await get(`${registry}/${repository}/blobs/${manifest.config.digest}`)) as ImageConfig;
  const name = 'bench-builds/builder';
  for (const { digest } of manifest.layers) {
    await put('POST', `${registry}/${name}/blobs/uploads/?mount=${digest}&from=${repository}`);
  }
  const content = readFileSync(SCRIPT, 'utf8');
  const layer = await upload(registry, name, tar([{ name: 'usr/local/bin/repo2docker', mode: 0o755, content }]), LAYER);
  const rootfs = { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, layer.digest] };
  const made = await upload(
    registry,
    name,
    Buffer.from(JSON.stringify({ ...config, history: undefined, rootfs })),
    manifest.config.mediaType,
  );
  await upload(registry, EMPTY_REPOSITORY, Buffer.from('{}'), manifest.config.mediaType);
  const whole = { ...manifest, schemaVersion: 2, config: made, layers: [...manifest.layers, layer] };
  const version = made.digest.slice('sha256:'.length, 'sha256:'.length + 12);
  await put('PUT', `${registry}/${name}/manifests/${version}`, Buffer.from(JSON.stringify(whole)), MANIFEST);
  return `${host}/${name}:${version}`;
}

async function get(url: string): Promise<unknown> {
  const response = await fetch(url, { headers: { accept: MANIFEST }, signal: AbortSignal.timeout(DEADLINE_MS) });
  if (!response.ok) throw new Error(`GET ${url} answered ${response.status}`);
  return response.json();
}

async function upload(registry: string, name: string, blob: Buffer, mediaType: string): Promise<Descriptor> {
  const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
  const location = await put('POST', `${registry}/${name}/blobs/uploads/`);
  const target = new URL(location ?? '', `${registry}/`);
  target.searchParams.set('digest', digest);
  await put('PUT', target.href, blob);
  return { mediaType, digest, size: blob.length };
}

/** @returns where to go on */
async function put(
  method: string,
  url: string,
  body?: Buffer,
  type = 'application/octet-stream',
): Promise<string | null> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': type },
    signal: AbortSignal.timeout(DEADLINE_MS),
    ...(body === undefined ? {} : { body: new Uint8Array(body) }),
  });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}`);
  return response.headers.get('location');
}
