/** A line of Git's wire format (gitprotocol-common): its bytes, or one of the special packets. */
export type Packet = Buffer | 'flush' | 'delimiter';

/** The peer does not speak the protocol. */
export class PktLineError extends Error {
  override readonly name = 'PktLineError';
}

/** The peer refuses, in the protocol itself: `ERR access denied`. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError';
}

const LENGTH_DIGITS = 4;
const DELIMITER_LENGTH = 1;

/** Bytes as packets. What is left of the stream when the caller stops is not read. */
export async function* readPackets(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Packet> {
  let held = Buffer.alloc(0);
  for await (const chunk of bytes) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk]);
    let at = 0;
    while (held.length - at >= LENGTH_DIGITS) {
      const length = lengthOf(held.toString('latin1', at, at + LENGTH_DIGITS));
      if (length < LENGTH_DIGITS) {
        yield length === DELIMITER_LENGTH ? 'delimiter' : 'flush';
        at += LENGTH_DIGITS;
        continue;
      }
      if (held.length - at < length) break;
      yield held.subarray(at + LENGTH_DIGITS, at + length);
      at += length;
    }
    held = held.subarray(at);
  }
  if (held.length > 0) throw new PktLineError('the answer ends in the middle');
}

export const FLUSH = '0000';
export const DELIMITER = '0001';

/** A text as a packet, with a newline as commands have it. */
export function writePacket(text: string): string {
  const length = Buffer.byteLength(text) + LENGTH_DIGITS + 1;
  return `${length.toString(16).padStart(LENGTH_DIGITS, '0')}${text}\n`;
}

/** The text of a packet, without its newline. */
export function packetText(packet: Buffer): string {
  return packet.toString('utf8').replace(/\n$/, '');
}

function lengthOf(digits: string): number {
  if (!/^[0-9a-f]{4}$/i.test(digits)) throw new PktLineError('the answer is not what a Git server says');
  return Number.parseInt(digits, 16);
}

/** The bytes as one goes on reading them after somebody has stopped: no end is told to the stream. */
export function resumable(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  return { [Symbol.asyncIterator]: () => ({ next: () => iterator.next() }) };
}
