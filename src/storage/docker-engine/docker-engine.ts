import { pipeline, type Readable } from 'node:stream';
import { raceAbort } from '../../util/abort.ts';
import { retry } from '../../util/backoff.ts';
import { jsonLines } from '../../util/json-lines.ts';
import type { EngineVersion } from './api-version.ts';
import { type ContainerFacts, type ListedContainer, parseContainer, parseEvent, parseList } from './container-facts.ts';
import type { EngineAddress } from './engine-connection.ts';
import { EngineError, errorWithoutAnswer } from './engine-error.ts';
import { asJson, EngineTransport } from './engine-transport.ts';
import { LogFrames, sinceOf } from './log-frames.ts';
import { followPodmanLog, type OpenFrames } from './podman-log.ts';
import { type TarEntry, tar } from './tar.ts';

export interface DockerEngineOptions extends EngineAddress {
  /** For one call, and for a stream to begin. */
  readonly timeoutMs?: number;
}

const NOT_FOUND = 404;
const CONFLICT = 409;
const NOT_MODIFIED = 304;
const REMOVAL = { attempts: 4, firstMs: 300, longestMs: 1_000 };
/** Longer than any event or report of progress. */
const LINES = { longest: 2 ** 20 };

/**
 * The part of the Docker Engine API that running a build takes, as Docker and Podman serve it. No library: what there is for
 * Node is untyped at its core or no longer kept up, and a dozen calls over the HTTP client we have are less than its glue.
 *
 * @throws {EngineError} from every method
 */
export class DockerEngine {
  readonly address: string;
  readonly #transport: EngineTransport;

  constructor({ timeoutMs = 10_000, ...address }: DockerEngineOptions) {
    this.address = address.address;
    this.#transport = new EngineTransport(address, timeoutMs);
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  version(): Promise<EngineVersion> {
    return this.#transport.version();
  }

  /** Asks for the version again: whatever listens now may be another one. */
  renegotiate(): Promise<EngineVersion> {
    this.#transport.forgetVersion();
    return this.#transport.version();
  }

  /** @returns its id */
  async createContainer(name: string, body: object, signal?: AbortSignal): Promise<string> {
    const request = { what: 'create a container', method: 'POST', path: '/containers/create', query: { name }, body };
    const { text } = await this.#transport.call({ ...request, method: 'POST' }, signal);
    const { Id } = asJson(text) as { Id?: unknown };
    if (typeof Id !== 'string') throw new EngineError(0, 'create a container: the answer has no id');
    return Id;
  }

  /** Puts files into a container, also into one that was not started. They stay until it is removed. */
  async putFiles(id: string, entries: readonly TarEntry[], signal?: AbortSignal): Promise<void> {
    const path = `${containerPath(id)}/archive`;
    const request = { what: 'put files into a container', path, query: { path: '/' }, body: tar(entries) };
    await this.#transport.call({ ...request, method: 'PUT' }, signal);
  }

  /** One that runs already stays as it is. */
  async startContainer(id: string, signal?: AbortSignal): Promise<void> {
    const request = { what: 'start a container', method: 'POST', path: `${containerPath(id)}/start` } as const;
    await this.#transport.call(request, signal, [NOT_MODIFIED]);
  }

  /** Ends it with SIGKILL and removes it with its anonymous volumes. One that is not there is as good. */
  async removeContainer(id: string, signal?: AbortSignal): Promise<void> {
    const path = containerPath(id);
    const kill = { what: 'kill a container', method: 'POST', path: `${path}/kill`, query: { signal: 'KILL' } } as const;
    // Podman's forced removal waits ten seconds before it kills. One that does not run: 409 of Docker, 500 of Podman.
    await this.#transport.call(kill, signal, [NOT_FOUND, CONFLICT, 500]);
    const query = { force: 'true', v: 'true' };
    const remove = { what: 'remove a container', method: 'DELETE', path, query } as const;
    // Podman may not have let go of the mounts yet of what has just been killed.
    const again = (error: unknown) => (error instanceof EngineError && error.status === 500 ? 0 : undefined);
    // 409: another removal is under way.
    const attempt = () => this.#transport.call(remove, signal, [NOT_FOUND, CONFLICT]);
    await retry({ ...REMOVAL, again, signal }, attempt);
  }

  /** @param id or name @returns undefined when it is not there */
  async inspectContainer(id: string, signal?: AbortSignal): Promise<ContainerFacts | undefined> {
    const request = { what: 'inspect a container', method: 'GET', path: `${containerPath(id)}/json` } as const;
    const { status, text } = await this.#transport.call(request, signal, [NOT_FOUND]);
    return status === NOT_FOUND ? undefined : understood(request.what, () => parseContainer(asJson(text)));
  }

  /**
   * All that have these labels, in whatever state.
   *
   * @param labels `name=value`
   * @returns also the engine's own time, in milliseconds, not later than the moment of the list
   */
  async listContainers(
    labels: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ containers: ListedContainer[]; at: number }> {
    const query = { all: 'true', filters: JSON.stringify({ label: labels }) };
    const request = { what: 'list containers', method: 'GET', path: '/containers/json', query } as const;
    const { text, date } = await this.#transport.call(request, signal);
    return { containers: understood(request.what, () => parseList(asJson(text))), at: date - 1000 };
  }

  /**
   * Fetches an image. Resolves when it is there.
   *
   * @param auth value of `X-Registry-Auth`
   * @param onProgress hears what the engine says
   * @throws {EngineError} also where the engine has begun to answer well
   */
  async pullImage(
    image: string,
    options: { auth?: string | undefined; signal: AbortSignal; onProgress?: (status: string) => void },
  ): Promise<void> {
    const what = 'pull an image';
    const headers: Record<string, string> = options.auth === undefined ? {} : { 'x-registry-auth': options.auth };
    const query = { fromImage: withTag(image) };
    const request = { what, method: 'POST', path: '/images/create', query, headers } as const;
    const stream = await this.#transport.stream(request, options.signal);
    try {
      for await (const value of jsonLines(stream, LINES)) {
        const { error, status } = value as { error?: unknown; status?: unknown };
        if (typeof error === 'string') throw new EngineError(0, `${what}: ${error.slice(0, 500)}`);
        if (typeof status === 'string') options.onProgress?.(status);
      }
    } catch (cause) {
      options.signal.throwIfAborted();
      throw errorWithoutAnswer(what, cause);
    }
  }

  /**
   * The log of a container, `<time> <text>\n` for each line, stdout and stderr together in the order in which they came.
   *
   * @param since RFC 3339; null for all of it
   */
  async openLog(
    id: string,
    { since, follow, signal }: { since: string | null; follow: boolean; signal: AbortSignal },
  ): Promise<Readable> {
    const { isPodman } = await raceAbort(this.version(), signal);
    const open: OpenFrames = (position, either) => this.#openFrames(id, position, either);
    if (isPodman && follow) return followPodmanLog(open, since, signal);
    // Whoever reads hears of an error from the last stream; the callback is only there so that it is not thrown.
    return pipeline(await open({ since, follow }, signal), new LogFrames({ unfinished: true }), () => undefined);
  }

  /**
   * Ids of containers with these labels that something has happened to, from a moment on, until `signal` aborts or the
   * engine ends the stream.
   *
   * @param since milliseconds since the epoch, by the engine's clock
   */
  async *containerEvents(labels: readonly string[], since: number, signal: AbortSignal): AsyncGenerator<string, void> {
    const filters = JSON.stringify({ type: ['container'], label: labels });
    const query = { since: String(Math.floor(since / 1000)), filters };
    const request = { what: 'follow events', method: 'GET', path: '/events', query } as const;
    try {
      const stream = await this.#transport.stream(request, signal);
      for await (const event of jsonLines(stream, LINES)) {
        const id = parseEvent(event);
        if (id !== undefined) yield id;
      }
    } catch (cause) {
      signal.throwIfAborted();
      throw errorWithoutAnswer(request.what, cause);
    }
  }

  #openFrames(
    id: string,
    { since, follow }: { since: string | null; follow: boolean },
    signal: AbortSignal,
  ): Promise<Readable> {
    const query = {
      stdout: 'true',
      stderr: 'true',
      timestamps: 'true',
      follow: String(follow),
      ...(since === null ? {} : { since: sinceOf(since) }),
    };
    const path = `${containerPath(id)}/logs`;
    return this.#transport.stream({ what: 'read a log', method: 'GET', path, query }, signal);
  }
}

/** Docker takes a name without a tag for all tags there are. */
function withTag(image: string): string {
  return image.includes('@') || /:[^/]+$/.test(image) ? image : `${image}:latest`;
}

function containerPath(id: string): string {
  return `/containers/${encodeURIComponent(id)}`;
}

function understood<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new EngineError(0, `${what}: the answer is not as the API has it`, { cause });
  }
}
