import { isCommit, refCandidates } from '../../domain/git/git-ref.ts';
import {
  DELIMITER,
  FLUSH,
  type Packet,
  packetText,
  PktLineError,
  readPackets,
  RemoteError,
  writePacket,
} from './pkt-line.ts';

/** A conversation with `git-upload-pack`, whatever carries it. */
export interface UploadPack {
  /** What it says first. */
  readonly advertisement: AsyncIterable<Uint8Array>;
  /** Sends a command of protocol version 2, and gives what it says to that. */
  command(packets: Buffer): Promise<AsyncIterable<Uint8Array> | Iterable<Uint8Array>>;
}

/**
 * The commit that a ref means at a remote repository: `git ls-remote`, with the rules of gitrevisions for which ref is
 * meant, and with tags followed to what they tag.
 *
 * The server is asked by version 2 of the protocol for these refs alone. One that knows only the versions before it lists
 * all refs; they are looked through as they come and not kept.
 *
 * @returns undefined when there is no such ref
 * @throws {PktLineError | RemoteError}
 */
export async function findRef(remote: UploadPack, ref: string): Promise<string | undefined> {
  const candidates = refCandidates(ref);
  const packets = readPackets(remote.advertisement);
  let first = await next(packets);
  // Over HTTP a line and a flush say which service it is (gitprotocol-http).
  if (first instanceof Buffer && packetText(first).startsWith('# service=')) {
    await next(packets);
    first = await next(packets);
  }
  if (!(first instanceof Buffer)) throw new PktLineError('the server says nothing');
  refuseError(packetText(first));
  if (packetText(first) !== 'version 2') return pick(candidates, await advertised(first, packets, candidates));
  const capabilities = await texts(packets);
  const format = capabilities.find((capability) => capability.startsWith('object-format='));
  const command = [
    writePacket('command=ls-refs'),
    ...(format === undefined ? [] : [writePacket(format)]),
    DELIMITER,
    writePacket('peel'),
    ...candidates.map((name) => writePacket(`ref-prefix ${name}`)),
    FLUSH,
  ];
  const answer = await remote.command(Buffer.from(command.join('')));
  return pick(candidates, await listed(readPackets(answer), candidates));
}

function pick(candidates: readonly string[], found: ReadonlyMap<string, string>): string | undefined {
  const name = candidates.find((candidate) => found.has(candidate));
  const commit = name === undefined ? undefined : found.get(name);
  if (commit !== undefined && !isCommit(commit)) throw new PktLineError('the server names no commit');
  return commit;
}

/** Version 2: `<oid> <ref> peeled:<oid>`, the last where the ref is an annotated tag. */
async function listed(packets: AsyncGenerator<Packet>, candidates: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const text of await texts(packets, (line) => candidates.includes(line.split(' ')[1] ?? ''))) {
    const [oid = '', name = '', ...attributes] = text.split(' ');
    const peeled = attributes.find((attribute) => attribute.startsWith('peeled:'));
    found.set(name, peeled?.slice('peeled:'.length) ?? oid);
  }
  return found;
}

/** Versions 0 and 1: `<oid> <ref>`, and `<oid> <ref>^{}` after a tag; capabilities after a NUL in the first line. */
async function advertised(
  first: Buffer,
  packets: AsyncGenerator<Packet>,
  candidates: readonly string[],
): Promise<Map<string, string>> {
  const isWanted = (line: string) => candidates.includes((line.split(' ')[1] ?? '').replace(/\^\{\}$/, ''));
  const [head = ''] = packetText(first).split('\0');
  const lines = head === 'version 1' ? [] : [head].filter(isWanted);
  const found = new Map<string, string>();
  for (const line of [...lines, ...(await texts(packets, isWanted))]) {
    const [oid = '', name = ''] = line.split(' ');
    found.set(name.replace(/\^\{\}$/, ''), oid);
  }
  return found;
}

/** The lines until the flush, as far as they are wanted. */
async function texts(packets: AsyncGenerator<Packet>, isWanted: (line: string) => boolean = () => true) {
  const lines: string[] = [];
  for (let packet = await next(packets); packet !== 'flush'; packet = await next(packets)) {
    if (!(packet instanceof Buffer)) continue;
    const [text = ''] = packetText(packet).split('\0');
    refuseError(text);
    if (isWanted(text)) lines.push(text);
    if (lines.length > MOST_LINES) throw new PktLineError('the server says too much');
  }
  return lines;
}

const MOST_LINES = 1_000;

async function next(packets: AsyncGenerator<Packet>): Promise<Packet> {
  const packet = await packets.next();
  if (packet.done === true) throw new PktLineError('the answer ends too early');
  return packet.value;
}

function refuseError(text: string): void {
  if (text.startsWith('ERR ')) throw new RemoteError('the server refuses');
}
