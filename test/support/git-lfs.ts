import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

const BATCH = '/info/lfs/objects/batch';
const OBJECTS = '/lfs-objects/';

/** What of a Git server's files is in LFS: the batch API (git-lfs, docs/api/batch.md), and the objects. */
export class LfsStore {
  readonly #objects = new Map<string, string>();
  readonly #url: () => string;

  /** @param url of the server */
  constructor(url: () => string) {
    this.#url = url;
  }

  /** Keeps a file. @returns what is in the repository in its place */
  add(content: string): string {
    const oid = createHash('sha256').update(content).digest('hex');
    this.#objects.set(oid, content);
    return `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${Buffer.byteLength(content)}\n`;
  }

  /** Loses every file. */
  clear(): void {
    this.#objects.clear();
  }

  /** Whether it wants no credentials at this path: its address is given to those who have shown them. */
  isObject(path: string): boolean {
    return path.startsWith(OBJECTS);
  }

  /** Answers a request that is for it. @returns whether it is */
  answer(path: string, request: IncomingMessage, response: ServerResponse): boolean {
    if (path.startsWith(OBJECTS)) {
      const content = this.#objects.get(path.slice(OBJECTS.length));
      response.writeHead(content === undefined ? 404 : 200).end(content);
      return true;
    }
    if (!path.endsWith(BATCH)) return false;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { objects } = JSON.parse(Buffer.concat(chunks).toString()) as { objects: { oid: string; size: number }[] };
      const answers = objects.map((object) =>
        this.#objects.has(object.oid)
          ? { ...object, actions: { download: { href: `${this.#url()}${OBJECTS}${object.oid}` } } }
          : { ...object, error: { code: 404, message: 'Object does not exist on the server' } },
      );
      response.writeHead(200, { 'content-type': 'application/vnd.git-lfs+json' });
      response.end(JSON.stringify({ transfer: 'basic', objects: answers }));
    });
    return true;
  }
}
