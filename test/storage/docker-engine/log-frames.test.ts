import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { LogFrames, sinceOf } from '../../../src/storage/docker-engine/log-frames.ts';

function frame(stream: number, text: string | Buffer): Buffer {
  const body = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

async function linesOf(bytes: Buffer, size: number, unfinished = true): Promise<string[]> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
    bytes.subarray(n * size, (n + 1) * size),
  );
  const lines: string[] = [];
  for await (const line of Readable.from(chunks).pipe(new LogFrames({ unfinished }))) lines.push(String(line));
  return lines;
}

const T1 = '2026-01-01T00:00:01.5Z';
const T2 = '2026-01-01T00:00:02Z';
const bytes = Buffer.concat([
  frame(1, `${T1} one\n`),
  frame(1, `${T1} be`),
  frame(2, `${T1} aside\n`),
  frame(1, `${T2} gun\n`),
  frame(2, `${T2} left`),
]);

it.each([1, 7, 4096])('makes whole lines of frames that arrive in pieces of %i bytes', async (size) => {
  expect(await linesOf(bytes, size)).toEqual([
    '2026-01-01T00:00:01.500000000Z one\n',
    '2026-01-01T00:00:01.500000000Z aside\n',
    '2026-01-01T00:00:02.000000000Z begun\n',
    '2026-01-01T00:00:02.000000000Z left\n',
  ]);
});

it('keeps back a line that has not ended, where more may come', async () => {
  expect(await linesOf(bytes, 4096, false)).toHaveLength(3);
});

it('breaks a line that does not end', async () => {
  const piece = frame(1, `${T1} ${'x'.repeat(2 ** 19)}`);
  const lines = await linesOf(Buffer.concat([piece, piece, piece, piece]), 2 ** 16);
  expect(lines.length).toBeGreaterThan(1);
});

it('refuses what is not in frames', async () => {
  await expect(linesOf(Buffer.from('plain text, no frame\n'), 64)).rejects.toThrow('not in frames');
});

it('asks from just before a moment, so that its own lines come', () => {
  expect(sinceOf('1970-01-01T00:00:10.500000001Z')).toBe('10.500000000');
  expect(sinceOf('1970-01-01T00:00:10Z')).toBe('9.999999999');
});
