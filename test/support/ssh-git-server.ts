import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import ssh2 from 'ssh2';
import { CLEAN_GIT } from './git-server.ts';

export interface SshGitServer {
  readonly host: string;
  readonly port: number;
  /** What stands in `known_hosts` after the name. */
  readonly hostKey: string;
  /** A private key that it takes, in the format of OpenSSH. */
  readonly userKey: string;
  /** Commands that it was asked to run. */
  readonly commands: readonly string[];
  close(): Promise<void>;
}

export interface SshGitServerOptions {
  /** Repositories lie in it. */
  readonly directory: string;
  /** Whether it hands on the version of the protocol that the client speaks, as `AcceptEnv GIT_PROTOCOL` does. */
  readonly acceptsProtocol?: boolean;
}

/** A real SSH server that runs `git-upload-pack` for the one key it takes. */
export async function startSshGitServer({
  directory,
  acceptsProtocol = true,
}: SshGitServerOptions): Promise<SshGitServer> {
  const hostKey = generateKey();
  const userKey = generateKey();
  const allowed = ssh2.utils.parseKey(userKey.public);
  if (allowed instanceof Error) throw allowed;
  const commands: string[] = [];
  const clients = new Set<{ end(): void }>();
  const server = new ssh2.Server({ hostKeys: [hostKey.private] }, (client) => {
    clients.add(client);
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
    client.on('authentication', (context) => {
      const isOurs = context.method === 'publickey' && context.key.data.equals(allowed.getPublicSSH());
      const isSigned =
        isOurs &&
        (context.signature === undefined ||
          allowed.verify(context.blob ?? '', context.signature, context.hashAlgo) === true);
      if (isSigned) context.accept();
      else context.reject(['publickey']);
    });
    client.on('session', (accept) => {
      let protocol = '';
      const session = accept();
      session.on('env', (acceptEnv, _reject, { key, val }) => {
        if (acceptsProtocol && key === 'GIT_PROTOCOL') protocol = val;
        (acceptEnv as (() => void) | undefined)?.();
      });
      session.on('exec', (acceptExec, _reject, { command }) => {
        commands.push(command);
        const channel = acceptExec();
        const path = /^git-upload-pack '\/(.*)'$/.exec(command)?.[1] ?? '';
        const child = spawn('git', ['upload-pack', '--strict', path.replaceAll(`'\\''`, "'")], {
          cwd: directory,
          env: { ...CLEAN_GIT, GIT_PROTOCOL: protocol },
        });
        child.stdin.on('error', () => undefined);
        channel.pipe(child.stdin);
        child.stdout.pipe(channel, { end: false });
        child.stderr.pipe(channel.stderr, { end: false });
        channel.on('close', () => child.kill());
        child.on('close', (code) => {
          channel.exit(code ?? 1);
          channel.end();
        });
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    hostKey: hostKey.public.trim(),
    userKey: userKey.private,
    commands,
    close: async () => {
      for (const client of clients) client.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** ssh2 writes a key now and then (2 in 1,000) that nobody can read, itself included: then another. */
function generateKey(): { readonly private: string; readonly public: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    if (![pair.private, pair.public].some((key) => ssh2.utils.parseKey(key) instanceof Error)) return pair;
  }
}
