import { BlockList, isIP } from 'node:net';
import { plainAddress } from '../limits/address-key.ts';

/**
 * The addresses whose word about a request is believed.
 *
 * @param ranges addresses and CIDR ranges of either family
 * @throws {Error} when an entry is neither; the configuration has been checked before, so that is a mistake in the code
 */
export function trustedPeers(ranges: readonly string[]): (address: string | undefined) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/');
    const family = familyOf(address);
    if (family === undefined) throw new Error(`not an address or CIDR range: ${range}`);
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return (address) => {
    if (address === undefined) return false;
    const plain = plainAddress(address);
    const family = familyOf(plain);
    return family !== undefined && list.check(plain, family);
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  if (version === 0) return undefined;
  return version === 4 ? 'ipv4' : 'ipv6';
}
