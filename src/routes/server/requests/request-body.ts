import type { IncomingMessage } from 'node:http';

/**
 * Most pieces of one body. Each piece costs some microseconds, however short it is: a mebibyte in chunks of one byte takes
 * seconds. Programs that write a body piece by piece send chunks of some hundred bytes or more.
 */
export const BODY_PIECES = 8192;

/** More was sent than may be read. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
  readonly limit: 'bytes' | 'pieces';

  constructor(limit: BodyTooLarge['limit']) {
    super(`a body of too many ${limit}`);
    this.limit = limit;
  }
}

/**
 * Reads all of a body in Node's own way; through a web stream, each piece would cost twice as much.
 *
 * @throws {BodyTooLarge} as soon as it is; nothing more is collected then
 * @throws when the connection ends before the body does
 */
export function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const pieces: Buffer[] = [];
  let bytes = 0;
  const settle = (outcome: () => void) => {
    incoming.off('data', onData).off('end', onEnd).off('error', onEnd).off('close', onEnd);
    outcome();
  };
  const refuse = (limit: BodyTooLarge['limit']) => {
    incoming.pause();
    settle(() => reject(new BodyTooLarge(limit)));
  };
  const onData = (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > maxBytes) refuse('bytes');
    else if (pieces.push(piece) > BODY_PIECES) refuse('pieces');
  };
  const onEnd = () => {
    if (incoming.readableEnded) settle(() => resolve(Buffer.concat(pieces, bytes)));
    else settle(() => reject(new Error('the connection ended before the body')));
  };
  incoming.on('data', onData).on('end', onEnd).on('error', onEnd).on('close', onEnd);
  return promise;
}
