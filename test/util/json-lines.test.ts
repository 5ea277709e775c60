import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonLines, JsonLinesError, type JsonLinesOptions } from '../../src/util/json-lines.ts';

const OPTIONS: JsonLinesOptions = { longest: 100 };

async function read(chunks: Iterable<string | Uint8Array>, options = OPTIONS) {
  const values: unknown[] = [];
  let error: unknown;
  let taken = 0;
  async function* counted() {
    for (const chunk of chunks) {
      taken += 1;
      await Promise.resolve();
      yield chunk;
    }
  }
  try {
    for await (const value of jsonLines(counted(), options)) values.push(value);
  } catch (cause) {
    error = cause;
  }
  return { values, error, taken };
}

describe('lines of JSON', () => {
  it('are the same values wherever the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 10 }),
        fc.boolean(),
        async (sent, cuts, ends) => {
          const text = sent.map((value) => JSON.stringify(value)).join('\n\r\n') + (ends ? '\n' : '');
          const bytes = Buffer.from(text);
          const chunks: Buffer[] = [];
          for (let at = 0; at < bytes.length;) {
            const size = cuts[chunks.length % cuts.length]!;
            chunks.push(bytes.subarray(at, (at += size)));
          }
          const { values, error } = await read(chunks, { longest: 1_000_000 });
          expect(error).toBeUndefined();
          expect(values).toEqual(sent.map((value) => JSON.parse(JSON.stringify(value)) as unknown));
        },
      ),
    );
  });

  it.each([
    ['in one chunk', [`1\n"${'x'.repeat(200)}"\n`]],
    ['in many', ['1\n"', ...Array.from({ length: 1_000 }, () => 'x'.repeat(10))]],
  ])('are given up when one is too long, %s, after what came before', async (_, chunks) => {
    const { values, error, taken } = await read(chunks);
    expect(values).toEqual([1]);
    expect(error).toMatchObject({ name: 'JsonLinesError', message: 'a line of the stream is too long' });
    expect(taken).toBeLessThan(20);
  });

  it('may end without the end of a line, unless a stream that breaks off would look the same', async () => {
    expect(await read(['1\n2'])).toMatchObject({ values: [1, 2], error: undefined });
    const broken = await read(['1\n2'], { ...OPTIONS, unfinished: 'it broke off' });
    expect(broken).toMatchObject({ values: [1], error: { message: 'it broke off' } });
    expect(await read(['1\n2\n'], { ...OPTIONS, unfinished: 'it broke off' })).toMatchObject({ error: undefined });
    const cut = await read([Buffer.from('"é').subarray(0, 2)]);
    expect(cut.error).toBeInstanceOf(JsonLinesError);
  });

  it('that are none are an error which quotes nothing of them', async () => {
    const { error } = await read(['{"password": "hush"\n']);
    expect(error).toBeInstanceOf(JsonLinesError);
    expect((error as Error).cause).toBeUndefined();
    expect(String((error as Error).stack)).not.toContain('hush');
  });
});
