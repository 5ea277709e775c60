import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/** A /16 of loopback addresses that no other sandbox on this machine uses. */
export interface LoopbackRange {
  /** The first two numbers, `127.88`. */
  readonly prefix: string;
  /** Whether it can be listened on. */
  readonly claimed: boolean;
  release(): Promise<void>;
}

const FIRST = 65;
const LAST = 126;
/** Nobody else listens here: the last address of a range is never handed out. */
const CLAIM_PORT = 61_616;

/** Addresses that are only names: nothing listens on them, so nothing can be in the way. */
export function unclaimed(prefix: string): LoopbackRange {
  return { prefix, claimed: false, release: () => Promise.resolve() };
}

/**
 * Finds a free range and holds it by listening on its last address, for as long as it is not released. Where the machine
 * has none (macOS has 127.0.0.1 only) the answer is the unclaimed one.
 */
export async function claimLoopbackRange(otherwise: string): Promise<LoopbackRange> {
  const ranges = LAST - FIRST + 1;
  // Not always the first one: a sandbox that was killed leaves its range before its labs have left their addresses.
  const start = randomInt(ranges);
  for (let tried = 0; tried < ranges; tried += 1) {
    const prefix = `127.${String(FIRST + ((start + tried) % ranges))}`;
    const holder = await tryListen(`${prefix}.255.254`);
    if (holder === undefined) continue;
    return { prefix, claimed: true, release: () => new Promise((resolve) => holder.close(() => resolve())) };
  }
  return unclaimed(otherwise);
}

function tryListen(host: string): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen(CLAIM_PORT, host, () => resolve(server));
  });
}
