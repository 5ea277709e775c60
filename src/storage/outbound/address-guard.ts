import { lookup as lookUp, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { isPublicAddress } from './public-address.ts';

/** Somebody has named a host that is not to be reached from here. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** As `dns.lookup` with `all`. */
export type LookUp = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Decides which hosts may be connected to: those of public addresses, and those that the configuration names.
 *
 * It decides when the connection is made, on the addresses that are then connected to, so that a name that is public when
 * it is looked at and private a moment later leads nowhere.
 */
export class AddressGuard {
  readonly #privateHosts: readonly PrivateHost[];
  readonly #lookUp: LookUp;

  /** @param privateHosts as `builds.repositories.privateHosts` */
  constructor(privateHosts: readonly string[], lookUpName: LookUp = lookUp) {
    this.#privateHosts = privateHosts.map(parsePrivateHost);
    this.#lookUp = lookUpName;
  }

  /** Whether the configuration lets this host have private addresses. `port` is the one that is connected to. */
  isTrusted(hostname: string, port: number): boolean {
    const host = hostname.toLowerCase();
    return this.#privateHosts.some(
      ({ name, isSuffix, ports }) => ports.includes(port) && (isSuffix ? host.endsWith(name) : host === name),
    );
  }

  /**
   * For what needs no name lookup, and so would pass by `lookup`.
   *
   * @throws {AddressRefused}
   */
  checkLiteral(hostname: string): void {
    const address = hostname.replace(/^\[|\]$/g, '');
    if (isIP(address) !== 0 && !isPublicAddress(address)) throw refused();
  }

  /**
   * For a host that others will connect to: whether it could be connected to from here at this moment.
   *
   * @throws {AddressRefused}
   * @throws what the lookup throws
   */
  async check(hostname: string, port: number): Promise<void> {
    if (this.isTrusted(hostname, port)) return;
    this.checkLiteral(hostname);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const host = hostname.replace(/^\[|\]$/g, '');
    this.lookup(host, { all: true }, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
    await promise;
  }

  /** For `net.connect`: gives the public addresses of a name, and an AddressRefused when it has none. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#lookUp(hostname, { all: true }, (error, addresses) => {
      const found = error === null ? addresses.filter(({ address }) => isPublicAddress(address)) : [];
      const [first] = found;
      if (error !== null) callback(error, '');
      else if (first === undefined) callback(refused(), '');
      else if (options.all === true) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
}

interface PrivateHost {
  readonly name: string;
  readonly isSuffix: boolean;
  readonly ports: readonly number[];
}

/** The ports of https, http and ssh, for a host without one. */
const USUAL_PORTS = [443, 80, 22];

function parsePrivateHost(text: string): PrivateHost {
  const [host = '', port] = text.toLowerCase().split(':');
  const isSuffix = host.startsWith('*.');
  return { name: isSuffix ? host.slice(1) : host, isSuffix, ports: port === undefined ? USUAL_PORTS : [Number(port)] };
}

function refused(): AddressRefused {
  return new AddressRefused('the host has no public address');
}
