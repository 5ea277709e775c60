import { execFile } from 'node:child_process';
import { createPrivateKey, type KeyObject, randomUUID, sign, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Script, ScriptedServer, type Seen } from '../scripted-registry.ts';

const run = promisify(execFile);
const ISSUER = 'tests';
const SERVICE = 'registry';

interface TokenServerOptions {
  readonly username: string;
  readonly password: string;
  /** How long a token is good, in seconds. */
  readonly lifeS: number;
}

/** A token server whose tokens the reference implementation takes: JWTs with the certificate of their key. */
export class TokenServer {
  readonly server: ScriptedServer;
  /** What it says of how long its tokens last; they may be over before. */
  claimedLifeS: number;
  readonly #folder: string;
  readonly #key: KeyObject;
  readonly #certificate: string;
  readonly #options: TokenServerOptions;

  private constructor(
    server: ScriptedServer,
    folder: string,
    pem: { key: string; certificate: string },
    options: TokenServerOptions,
  ) {
    this.server = server;
    this.claimedLifeS = options.lifeS;
    this.#folder = folder;
    this.#key = createPrivateKey(pem.key);
    this.#certificate = new X509Certificate(pem.certificate).raw.toString('base64');
    this.#options = options;
    server.answer((seen) => this.#answer(seen));
  }

  static async start(options: TokenServerOptions): Promise<TokenServer> {
    const folder = await mkdtemp(join(tmpdir(), 'labwright-tokens-'));
    await run(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=tokens',
        '-keyout',
        'key.pem',
        '-out',
        'cert.pem',
      ],
      { cwd: folder },
    );
    const [key, certificate] = await Promise.all([
      readFile(join(folder, 'key.pem'), 'utf8'),
      readFile(join(folder, 'cert.pem'), 'utf8'),
    ]);
    return new TokenServer(await ScriptedServer.start(), folder, { key, certificate }, options);
  }

  /** The `auth` section of a registry that takes its tokens. */
  get auth(): string {
    return `{ token: { realm: "${this.server.url}/token", service: ${SERVICE}, issuer: ${ISSUER}, rootcertbundle: "${this.#folder}/cert.pem" } }`;
  }

  token(scopes: readonly string[], lifeS = this.#options.lifeS): string {
    const access = scopes.map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',') };
    });
    const now = Math.floor(Date.now() / 1000);
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const header = part({ typ: 'JWT', alg: 'RS256', x5c: [this.#certificate] });
    // A registry allows for clocks that differ by a minute.
    const times = { nbf: now - 120, iat: now, exp: now + lifeS - 60 };
    const claims = part({ iss: ISSUER, sub: 'ada', aud: SERVICE, jti: randomUUID(), access, ...times });
    return `${header}.${claims}.${sign('sha256', Buffer.from(`${header}.${claims}`), this.#key).toString('base64url')}`;
  }

  async close(): Promise<void> {
    await this.server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #answer({ url, headers }: Seen): Script {
    const { username, password } = this.#options;
    const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    if (headers.authorization !== basic) return { status: 401 };
    const scopes = new URL(url, this.server.url).searchParams.getAll('scope');
    return { status: 200, body: JSON.stringify({ token: this.token(scopes), expires_in: this.claimedLifeS }) };
  }
}
