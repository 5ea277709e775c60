import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildFoundImages,
  foundAgain,
  type FoundImages,
  parseFoundImages,
} from '../../../src/domain/image/found-images.ts';

const digest = (text: string) => `sha256:${text.padEnd(64, '0')}`;
const image = fc.record({
  digest: fc.stringMatching(/^sha256:[0-9a-f]{64}$/),
  size: fc.option(fc.nat()),
  architectures: fc.option(fc.array(fc.constantFrom('amd64', 'arm64'))),
  former: fc.array(fc.stringMatching(/^sha256:[0-9a-f]{64}$/), { maxLength: 5 }),
});
const found: fc.Arbitrary<FoundImages> = fc.record({
  origin: fc.string(),
  readAt: fc.option(fc.nat()),
  tags: fc.array(fc.stringMatching(/^\w[\w.-]{0,127}$/)),
  images: fc.dictionary(fc.stringMatching(/^\w[\w.-]{0,127}$/), image).map((entries) => ({ ...entries })),
  problem: fc.option(fc.record({ reason: fc.string(), message: fc.string(), since: fc.nat() })),
});

describe('what was found of images', () => {
  it('is in the ConfigMap what it was before, whatever tags are called', () => {
    fc.assert(
      fc.property(found, (before) => {
        expect(parseFoundImages(buildFoundImages('lab', before, 'labwright'))).toEqual(before);
      }),
    );
  });

  it('holds twenty thousand tags, and refuses what an object cannot hold', () => {
    const tags = Array.from({ length: 20_000 }, (_, at) => `w_2026_${at}`);
    const images = Object.fromEntries(
      tags
        .slice(0, 500)
        .map((tag, at) => [tag, { digest: digest(String(at)), size: at, architectures: null, former: [] }]),
    );
    const whole = { origin: 'quay.io/a/b', readAt: 1, tags, images, problem: null };
    expect(parseFoundImages(buildFoundImages('lab', whole, 'labwright'))?.tags).toHaveLength(20_000);
    const random = Array.from({ length: 30_000 }, () => crypto.randomUUID() + crypto.randomUUID());
    expect(() => buildFoundImages('lab', { ...whole, tags: random }, 'labwright')).toThrow(RangeError);
  });

  it.each([
    ['nothing', {}],
    ['no archive', { binaryData: { 'found.json.gz': 'AAAA' } }],
    ['something else', { binaryData: { other: '' } }],
  ])('is not known where somebody has put %s', (_, map) => {
    expect(parseFoundImages(map)).toBeUndefined();
  });

  it('remembers what a tag stood for before, the last first, five of them', () => {
    const digests = ['1', '2', '3', '4', '5', '6', '7'].map(digest);
    const last = digests.reduce<ReturnType<typeof foundAgain> | undefined>(
      (before, each) => foundAgain({ digest: each, size: null, architectures: null }, before),
      undefined,
    );
    expect(last?.digest).toBe(digests[6]);
    expect(last?.former).toEqual([5, 4, 3, 2, 1].map((at) => digests[at]));
    const back = foundAgain({ digest: digests[4] ?? '', size: 1, architectures: ['arm64'] }, last);
    expect(back.former).toEqual([6, 5, 3, 2, 1].map((at) => digests[at]));
    expect(foundAgain({ digest: digests[4] ?? '', size: 1, architectures: null }, back).former).toEqual(back.former);
  });
});
