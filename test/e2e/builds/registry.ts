import { gunzipSync } from 'node:zlib';

const MANIFESTS = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[];
}

/** What is in the registry, seen without Labwright. */
export class Registry {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  /** The digest of an image, or undefined when it is not there. */
  async digestOf(image: string): Promise<string | undefined> {
    const answer = await this.#ask('HEAD', manifestPath(image));
    return answer.ok ? (answer.headers.get('docker-content-digest') ?? undefined) : undefined;
  }

  async removeImage(image: string, digest: string): Promise<void> {
    const answer = await this.#ask('DELETE', `/v2/${nameOf(image)}/manifests/${digest}`);
    if (!answer.ok) throw new Error(`The registry does not delete ${image}: ${answer.status}`);
  }

  /** Removes every image whose name begins so. */
  async removeImages(prefix: string): Promise<void> {
    const { repositories } = (await (await this.#ask('GET', '/v2/_catalog?n=1000')).json()) as {
      repositories: string[];
    };
    for (const name of repositories.filter((each) => each.startsWith(`${prefix}/`))) {
      const { tags } = (await (await this.#ask('GET', `/v2/${name}/tags/list`)).json()) as { tags: string[] | null };
      for (const tag of tags ?? []) {
        const image = `registry/${name}:${tag}`;
        const digest = await this.digestOf(image);
        if (digest !== undefined) await this.removeImage(image, digest);
      }
    }
  }

  /** All that can be read of an image: manifest, configuration with its history, and its layers but those of `base`. */
  async textsOf(image: string, base: string): Promise<Readonly<Record<string, string>>> {
    const [mine, its] = await Promise.all([this.#manifest(image), this.#manifest(base)]);
    const name = nameOf(image);
    const blob = async (digest: string): Promise<Buffer> =>
      Buffer.from(await (await this.#ask('GET', `/v2/${name}/blobs/${digest}`)).arrayBuffer());
    const texts: Record<string, string> = {
      manifest: JSON.stringify(mine),
      configuration: (await blob(mine.config.digest)).toString('utf8'),
    };
    const known = new Set(its.layers.map(({ digest }) => digest));
    for (const { digest, mediaType } of mine.layers.filter((layer) => !known.has(layer.digest))) {
      const bytes = await blob(digest);
      texts[digest] = (mediaType.includes('gzip') ? gunzipSync(bytes) : bytes).toString('latin1');
    }
    return texts;
  }

  async #manifest(image: string): Promise<Manifest> {
    return (await (await this.#ask('GET', manifestPath(image))).json()) as Manifest;
  }

  #ask(method: string, path: string): Promise<Response> {
    return fetch(this.url + path, { method, headers: { accept: MANIFESTS }, signal: AbortSignal.timeout(60_000) });
  }
}

/** `registry:5000/a/b:tag` is `a/b`. */
function nameOf(image: string): string {
  return image.slice(image.indexOf('/') + 1).replace(/[:@].*$/, '');
}

function manifestPath(image: string): string {
  return `/v2/${nameOf(image)}/manifests/${/[:@]([^/]+)$/.exec(image.replace(/^[^/]*/, ''))?.[1] ?? 'latest'}`;
}
