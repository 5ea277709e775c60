const BLOCK = 512;
/** Fields of a ustar header (POSIX.1-1988): where each begins. */
const MODE = 100;
const OWNER = 108;
const GROUP = 116;
const SIZE = 124;
const MODIFIED = 136;
const CHECKSUM = 148;
const TYPE = 156;
const MAGIC = 257;

export interface TarEntry {
  /** Relative, at most 100 bytes; a directory ends with a slash. */
  readonly name: string;
  /** Permissions, such as 0o400. */
  readonly mode: number;
  readonly content?: string;
}

/** A tar archive; everything in it belongs to root. @throws Error for a name that is too long */
export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ name, mode, content = '' }) => {
    const body = Buffer.from(content);
    return [header(name, mode, body.length), body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, mode: number, size: number): Buffer {
  if (Buffer.byteLength(name) > MODE) throw new Error('a name is too long for a tar archive');
  const block = Buffer.alloc(BLOCK);
  block.write(name);
  block.write(octal(mode, 7), MODE);
  block.write(octal(0, 7), OWNER);
  block.write(octal(0, 7), GROUP);
  block.write(octal(size, 11), SIZE);
  block.write(octal(0, 11), MODIFIED);
  block.write(name.endsWith('/') ? '5' : '0', TYPE);
  block.write('ustar\0' + '00', MAGIC);
  // The sum counts its own field as spaces.
  block.fill(' ', CHECKSUM, CHECKSUM + 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, CHECKSUM);
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
