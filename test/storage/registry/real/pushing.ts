import { Agent, request } from 'undici';
import { digestOf, OCI } from '../image-registry.ts';

const AT_ONCE = 8;

/** Puts small images into a registry on this machine. */
export class Pushing {
  readonly #agent = new Agent({ connections: AT_ONCE });
  readonly #base: string;
  readonly #authorization: () => Promise<string | undefined>;

  constructor(
    url: string,
    repository: string,
    authorization: () => Promise<string | undefined> = () => Promise.resolve(undefined),
  ) {
    this.#base = `${url}/v2/${repository}`;
    this.#authorization = authorization;
  }

  /** An image with one layer of its words. @returns its digest */
  async image(tag: string | null, words: string, architecture = 'amd64'): Promise<string> {
    const config = await this.#blob(JSON.stringify({ architecture, os: 'linux', words }), OCI.config);
    const layer = await this.#blob(words, OCI.layer);
    return this.#manifest(tag, OCI.manifest, { config, layers: [layer] });
  }

  async index(tag: string, architectures: readonly string[], words: string): Promise<string> {
    const manifests = [];
    for (const architecture of architectures) {
      const digest = await this.image(null, `${words} ${architecture}`, architecture);
      const { headers } = await this.#ask('HEAD', `/manifests/${digest}`, { accept: OCI.manifest });
      const size = Number(headers['content-length']);
      manifests.push({ mediaType: OCI.manifest, digest, size, platform: { os: 'linux', architecture } });
    }
    return this.#manifest(tag, OCI.index, { manifests });
  }

  /** Gives one image many names. */
  async tag(tags: readonly string[], words: string): Promise<void> {
    const config = await this.#blob(JSON.stringify({ architecture: 'amd64', os: 'linux', words }), OCI.config);
    const layer = await this.#blob(words, OCI.layer);
    const left = [...tags];
    const push = async () => {
      for (let tag = left.pop(); tag !== undefined; tag = left.pop()) {
        await this.#manifest(tag, OCI.manifest, { config, layers: [layer] });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, push));
  }

  async remove(digest: string): Promise<void> {
    await this.#ask('DELETE', `/manifests/${digest}`, {});
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  async #manifest(tag: string | null, mediaType: string, value: object): Promise<string> {
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...value });
    await this.#ask('PUT', `/manifests/${tag ?? digestOf(text)}`, { 'content-type': mediaType }, text);
    return digestOf(text);
  }

  async #blob(text: string, mediaType: string) {
    const digest = digestOf(text);
    const { headers } = await this.#ask('POST', '/blobs/uploads/', {});
    const place = new URL(String(headers.location), this.#base);
    place.searchParams.set('digest', digest);
    await this.#ask('PUT', place.href, { 'content-type': 'application/octet-stream' }, text);
    return { mediaType, digest, size: text.length };
  }

  async #ask(method: 'HEAD' | 'POST' | 'PUT' | 'DELETE', path: string, headers: object, body?: string) {
    const authorization = await this.#authorization();
    const url = path.startsWith('http') ? path : `${this.#base}${path}`;
    const all = { ...headers, ...(authorization === undefined ? {} : { authorization }) };
    const answer = await request(url, {
      method,
      headers: all,
      dispatcher: this.#agent,
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${text}`);
    return answer;
  }
}
