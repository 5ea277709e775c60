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
  /** Sends a command of protocol version 2, and gives what it says to that to `read`, which may leave the rest. */
  command<T>(packets: Buffer, read: (answer: AsyncIterable<Uint8Array>) => Promise<T>): Promise<T>;
}

/** A question that is put to a remote repository. */
export type RemoteQuestion<T> = (remote: UploadPack) => Promise<T>;

/** There is nothing in the repository yet. */
export class EmptyRepositoryError extends Error {
  override readonly name = 'EmptyRepositoryError';
}

/** What an old server shows where there is no ref (gitprotocol-pack). */
const NO_REFS = 'capabilities^{}';

/**
 * The commit that a ref means at a remote repository: `git ls-remote`, with the rules of gitrevisions for which ref is
 * meant, and with tags followed to what they tag.
 *
 * The server is asked by version 2 of the protocol for these refs alone. One that knows only the versions before it lists
 * all refs; they are looked through as they come and not kept.
 *
 * @returns undefined when there is no such ref
 * @throws {PktLineError | RemoteError}
 * @throws {EmptyRepositoryError} when there is no ref at all
 */
export async function findRef(remote: UploadPack, ref: string): Promise<string | undefined> {
  const candidates = refCandidates(ref);
  const { first, packets } = await greet(remote);
  if (first !== VERSION_2) {
    const head = first.split('\0')[0] ?? '';
    if (head.endsWith(` ${NO_REFS}`)) throw new EmptyRepositoryError('the repository has no refs');
    return pick(candidates, await advertised(head, packets, candidates));
  }
  const capabilities = await texts(packets);
  const list = (prefixes: readonly string[]) =>
    commandOf('ls-refs', capabilities, ['peel', ...prefixes.map((name) => `ref-prefix ${name}`)]);
  const commit = await remote.command(list(candidates), async (answer) =>
    pick(candidates, await listed(readPackets(answer), candidates)),
  );
  if (commit !== undefined) return commit;
  const isEmpty = await remote.command(list([]), async (answer) => (await next(readPackets(answer))) === 'flush');
  if (isEmpty) throw new EmptyRepositoryError('the repository has no refs');
  return undefined;
}

/**
 * Whether a server gives a commit to who asks for it by its hash, whatever ref it belongs to: it is asked to, and what it sends
 * is left unread.
 *
 * @returns undefined where that is seen only when all of it is fetched
 * @throws {PktLineError}
 */
export async function isOffered(remote: UploadPack, commit: string): Promise<boolean | undefined> {
  const { first, packets } = await greet(remote);
  if (first !== VERSION_2) return undefined;
  const capabilities = await texts(packets);
  const features = capabilities.find((capability) => /^fetch(?:=|$)/.test(capability))?.slice('fetch='.length);
  if (features === undefined) return undefined;
  const able = (name: string) => features.split(' ').includes(name);
  const words = [
    'no-progress',
    `want ${commit}`,
    ...(able('shallow') ? ['deepen 1'] : []),
    ...(able('filter') ? ['filter blob:none'] : []),
    'done',
  ];
  return remote.command(commandOf('fetch', capabilities, words), async (answer) => {
    const said = await next(readPackets(answer));
    if (!(said instanceof Buffer) || !packetText(said).startsWith('ERR ')) return true;
    // Servers that are not Git's own have other words, also for commits that they give with a branch.
    return /not our ref/.test(packetText(said)) ? false : undefined;
  });
}

const VERSION_2 = 'version 2';

/** The first line of the server, and the packets after it. */
async function greet({ advertisement }: UploadPack) {
  const packets = readPackets(advertisement);
  let first = await next(packets);
  // Over HTTP a line and a flush say which service it is (gitprotocol-http).
  if (first instanceof Buffer && packetText(first).startsWith('# service=')) {
    await next(packets);
    first = await next(packets);
  }
  if (!(first instanceof Buffer)) throw new PktLineError('the server says nothing');
  refuseError(packetText(first));
  return { first: packetText(first), packets };
}

function commandOf(name: string, capabilities: readonly string[], words: readonly string[]): Buffer {
  const format = capabilities.find((capability) => capability.startsWith('object-format='));
  const packets = [
    writePacket(`command=${name}`),
    ...(format === undefined ? [] : [writePacket(format)]),
    DELIMITER,
    ...words.map((word) => writePacket(word)),
    FLUSH,
  ];
  return Buffer.from(packets.join(''));
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
  head: string,
  packets: AsyncGenerator<Packet>,
  candidates: readonly string[],
): Promise<Map<string, string>> {
  const isWanted = (line: string) => candidates.includes((line.split(' ')[1] ?? '').replace(/\^\{\}$/, ''));
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
