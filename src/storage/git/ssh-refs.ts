import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import type { GitCredential } from '../../domain/git/git-credential.ts';
import { raceAbort } from '../../util/abort.ts';
import type { AddressGuard } from '../outbound/address-guard.ts';
import { bounded } from '../outbound/outbound-client.ts';
import { KnownHosts } from './known-hosts.ts';
import { PktLineError, resumable } from './pkt-line.ts';
import { accessDenied, notAllowed } from './problems.ts';
import type { RemoteQuestion } from './remote-refs.ts';

const READY_MS = 15_000;
/** As for HTTP: far more than all refs of a large repository. */
const BYTES = 64 * 1024 * 1024;

export interface SshRemote {
  readonly url: string;
  readonly credential: Extract<GitCredential, { kind: 'ssh' }>;
}

/**
 * Puts a question to a repository behind SSH: `git-upload-pack` is run there, and asked.
 *
 * The host must show a key that the credential's `known_hosts` has for it; there is no trust at first use.
 *
 * @throws {BuildProblem} when the host's key is not known, or the host does not take ours; whatever the question throws
 */
export async function askOverSsh<T>(
  guard: AddressGuard,
  { url, credential }: SshRemote,
  question: RemoteQuestion<T>,
  signal: AbortSignal,
): Promise<T> {
  const { hostname, port: portText, username, pathname } = new URL(url);
  const port = Number(portText || 22);
  const host = hostname.replace(/^\[|\]$/g, '');
  const known = new KnownHosts(credential.knownHosts, host, port);
  if (known.algorithms.length === 0) throw unknownKey(hostname);
  const session = new SshSession();
  try {
    const socket = await openSocket(guard, host, port, signal);
    await session.login(socket, signal, {
      hostname,
      username: decodeURIComponent(username),
      privateKey: credential.privateKey,
      known,
    });
    const channel = await session.uploadPack(decodeURIComponent(pathname), signal);
    const output = resumable(bounded(channel as AsyncIterable<Buffer>, BYTES));
    const command = <R>(packets: Buffer, read: (answer: AsyncIterable<Uint8Array>) => Promise<R>) => {
      channel.write(packets);
      return read(output);
    };
    return await session.unlessOver(question({ advertisement: output, command }), signal);
  } finally {
    session.end();
  }
}

/** One connection; its errors, which may come at any time, end whatever waits for it. */
class SshSession {
  readonly #client = new Client();
  readonly #failed = Promise.withResolvers<never>();
  #socket: Socket | undefined;

  constructor() {
    this.#failed.promise.catch(() => undefined);
  }

  async login(socket: Socket, signal: AbortSignal, { hostname, username, privateKey, known }: Login): Promise<void> {
    this.#socket = socket;
    let isRefused = false;
    this.#client.on('error', (error) => {
      const level = (error as { level?: string }).level;
      const isDenied = level === 'client-authentication';
      this.#failed.reject(isRefused ? unknownKey(hostname) : isDenied ? accessDenied(hostname) : error);
    });
    this.#client.on('close', () => this.#failed.reject(new PktLineError('the connection has ended')));
    const ready = once(this.#client, 'ready');
    ready.catch(() => undefined);
    const config: ConnectConfig = {
      sock: socket,
      username,
      privateKey,
      readyTimeout: READY_MS,
      // What else it knows: a key of another kind would be right for the host and unknown to us.
      algorithms: { serverHostKey: known.algorithms as never },
      hostVerifier: (key: Buffer) => {
        isRefused = !known.isKnown(key);
        return !isRefused;
      },
    };
    try {
      this.#client.connect(config);
    } catch (cause) {
      throw notAllowed(`The key that is set for ${hostname} cannot be read. Tell an administrator.`, cause);
    }
    await this.unlessOver(ready, signal);
  }

  async uploadPack(path: string, signal: AbortSignal): Promise<ClientChannel> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
    // Quoted for the shell that runs it, as Git itself does; the path begins with a slash and so is no option.
    const command = `git-upload-pack '${path.replaceAll("'", `'\\''`)}'`;
    this.#client.exec(command, { env: { GIT_PROTOCOL: 'version=2' } }, (error, channel) => {
      if (error === undefined) resolve(channel);
      else reject(error);
    });
    const channel = await this.unlessOver(promise, signal);
    channel.stderr.resume();
    channel.on('error', () => undefined);
    return channel;
  }

  /** What the promise comes to, unless the connection fails or the signal aborts before. */
  unlessOver<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    return raceAbort(Promise.race([promise, this.#failed.promise]), signal);
  }

  end(): void {
    this.#client.on('error', () => undefined);
    this.#client.end();
    this.#socket?.destroy();
  }
}

interface Login {
  readonly hostname: string;
  readonly username: string;
  readonly privateKey: string;
  readonly known: KnownHosts;
}

async function openSocket(guard: AddressGuard, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const isTrusted = guard.isTrusted(host, port);
  if (!isTrusted) guard.checkLiteral(host);
  const socket = connect({ host, port, signal, ...(isTrusted ? {} : { lookup: guard.lookup }) });
  // When the signal aborts, `once` goes first, and the socket's own error would have nobody to hear it.
  socket.on('error', () => undefined);
  await once(socket, 'connect', { signal });
  return socket;
}

function unknownKey(host: string) {
  return notAllowed(`${host} does not show a key that is known for it, so that nothing is asked of it.`);
}
