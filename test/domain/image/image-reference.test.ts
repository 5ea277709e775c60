import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseImageReference } from '../../../src/domain/image/image-reference.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('an image reference', () => {
  it.each([
    ['busybox', 'docker.io', 'library/busybox', null, null],
    ['busybox:1.36', 'docker.io', 'library/busybox', '1.36', null],
    ['jupyter/minimal-notebook:latest', 'docker.io', 'jupyter/minimal-notebook', 'latest', null],
    ['quay.io/jupyter/minimal-notebook:2026-11-02', 'quay.io', 'jupyter/minimal-notebook', '2026-11-02', null],
    ['localhost/a:b', 'localhost', 'a', 'b', null],
    ['localhost:5000/a', 'localhost:5000', 'a', null, null],
    ['[::1]:5000/a/b:c', '[::1]:5000', 'a/b', 'c', null],
    ['Registry/a:b', 'Registry', 'a', 'b', null],
    [`ghcr.io/a/b@${DIGEST}`, 'ghcr.io', 'a/b', null, DIGEST],
    [`ghcr.io/a/b_c__d--e.f:w_2026_47@${DIGEST}`, 'ghcr.io', 'a/b_c__d--e.f', 'w_2026_47', DIGEST],
  ])('%s is taken apart', (text, registry, repository, tag, digest) => {
    expect(parseImageReference(text)).toEqual({ registry, repository, tag, digest });
  });

  it.each([
    '',
    ' ',
    'a b',
    'A',
    'a/B:c',
    'a:',
    'a:-b',
    `a:${'x'.repeat(129)}`,
    'a@',
    'a@sha256:12',
    `a@md5:${'0'.repeat(32)}`,
    `a@${DIGEST}@${DIGEST}`,
    `a:b:c/d`,
    '/a',
    'a/',
    'a//b',
    'a..b',
    'a___b',
    '-a',
    'quay.io:123456/a',
    'quay..io/a',
    'https://quay.io/a:b',
    `${'a/'.repeat(200)}a`,
    'a:b\n',
    'ä:b',
    '\0',
  ])('is not %j', (text) => {
    expect(parseImageReference(text)).toBeUndefined();
  });

  it('comes out of its parts again', () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}(-[a-z0-9]{1,8})?$/);
    const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const tag = fc.option(fc.stringMatching(/^\w[\w.-]{0,20}$/));
    const digest = fc.option(fc.constant(DIGEST));
    fc.assert(
      fc.property(name, tag, digest, (repository, tag, digest) => {
        const text = `quay.io/${repository}${tag === null ? '' : `:${tag}`}${digest === null ? '' : `@${digest}`}`;
        expect(parseImageReference(text)).toEqual({ registry: 'quay.io', repository, tag, digest });
      }),
    );
  });

  it('is decided at once, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 5000, unit: fc.constantFrom(...'a-._/:@A0[') }), (text) => {
        const started = performance.now();
        parseImageReference(text);
        expect(performance.now() - started).toBeLessThan(100);
      }),
    );
  });
});
