import { isIP } from 'node:net';
import { plainAddress } from '../../../auth/limits/address-key.ts';
import { type AppContext, headerValues, remoteAddress } from '../context.ts';

/** Proxies that a request may have passed; a longer chain is somebody's invention. */
const HOPS = 16;

/** Where a request came from. */
export interface Origin {
  /** The socket's other end; undefined where there is no socket. */
  readonly peer: string | undefined;
  /** Whom a trusted peer says it speaks for; undefined when the peer is not trusted or says nothing. */
  readonly forwardedFor: string | undefined;
}

/**
 * Where a request came from. `X-Forwarded-For` counts as far as trusted proxies wrote it: from its end, up to and with the
 * first address that is not one of theirs.
 */
export function originOf(c: AppContext, isTrusted: (address: string | undefined) => boolean): Origin {
  const peer = remoteAddress(c);
  if (!isTrusted(peer)) return { peer, forwardedFor: undefined };
  const hops = headerValues(c, 'x-forwarded-for').join(',').split(',').slice(-HOPS).reverse();
  let forwardedFor: string | undefined;
  for (const hop of hops) {
    const address = readHop(hop);
    if (address === undefined) break;
    forwardedFor = address;
    if (!isTrusted(address)) break;
  }
  return { peer, forwardedFor };
}

/** An address, which some proxies write with a port. */
function readHop(hop: string): string | undefined {
  const text = hop.trim();
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  const address = plainAddress(bare);
  return isIP(address) === 0 ? undefined : address;
}
