import { isIP, isIPv4 } from 'node:net';

/**
 * What counts as one address when requests are counted: an IPv4 address, or the /64 of an IPv6 address, since whoever
 * has one address of a /64 has all of them.
 *
 * @param address as a socket reports it: also `::ffff:10.0.0.1` and `fe80::1%eth0`
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined) return 'none';
  const plain = plainAddress(address);
  if (isIPv4(plain)) return plain;
  return isIP(plain) === 6 ? `${groupsOf(plain).slice(0, 4).join(':')}::/64` : 'none';
}

/** An address without zone, and an IPv4 address as such where a socket of both families reports it. */
export function plainAddress(address: string): string {
  const [withoutZone = ''] = address.split('%', 1);
  return withoutZone.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** The eight groups of a valid IPv6 address, without leading zeros. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = hexadecimal(address).split('::');
  const split = (part: string) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16).toString(16)));
  const [before, after] = [split(head), split(tail ?? '')];
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
}

/** An IPv4 address in the last four bytes becomes two groups. */
function hexadecimal(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
}
