import { createHmac, timingSafeEqual } from 'node:crypto';

/** One line of a `known_hosts` file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). */
interface KnownHost {
  readonly line: string;
  readonly revoked: boolean;
  readonly hosts: string;
  readonly type: string;
  readonly key: Buffer;
}

/** What is known of the keys of one host. */
export class KnownHosts {
  readonly #lines: readonly KnownHost[];

  /** @param port that is connected to; another than 22 is a part of the name */
  constructor(text: string, host: string, port: number) {
    const name = port === 22 ? host : `[${host}]:${port}`;
    this.#lines = text
      .split('\n')
      .flatMap(parseLine)
      .filter(({ hosts }) => matches(hosts, name));
  }

  /** The lines that are about this host, as a file. */
  get text(): string {
    return this.#lines.map(({ line }) => `${line}\n`).join('');
  }

  /** Algorithms of host keys by which it can be known: a server has keys of several kinds, and shows one. */
  get algorithms(): string[] {
    const types = new Set(this.#lines.filter(({ revoked }) => !revoked).map(({ type }) => type));
    return [...types].flatMap((type) => (type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]));
  }

  isKnown(key: Buffer): boolean {
    const lines = this.#lines.filter((line) => line.key.equals(key));
    return lines.length > 0 && !lines.some(({ revoked }) => revoked);
  }
}

function parseLine(text: string): KnownHost[] {
  const line = text.trim();
  const fields = line.split(/\s+/);
  const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
  const [hosts, type, key] = fields;
  // Authorities that sign host keys are not known here.
  if (line.startsWith('#') || (marker !== undefined && marker !== '@revoked')) return [];
  if (hosts === undefined || type === undefined || key === undefined) return [];
  return [{ line, revoked: marker !== undefined, hosts, type, key: Buffer.from(key, 'base64') }];
}

function matches(hosts: string, name: string): boolean {
  if (hosts.startsWith('|1|')) return matchesHash(hosts, name);
  const patterns = hosts.split(',');
  const isOne = (pattern: string) => wildcard(pattern).test(name);
  return (
    patterns.some((pattern) => !pattern.startsWith('!') && isOne(pattern)) &&
    !patterns.some((pattern) => pattern.startsWith('!') && isOne(pattern.slice(1)))
  );
}

function matchesHash(hosts: string, name: string): boolean {
  const [, , salt = '', hash = ''] = hosts.split('|');
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

function wildcard(pattern: string): RegExp {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 'i');
}
