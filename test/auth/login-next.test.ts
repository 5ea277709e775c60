import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { safeNext } from '../../src/auth/login/next.ts';

const ADDRESS = { origin: 'https://hub.example.org', path: '/labwright' };

describe('where a browser goes after its login', () => {
  it.each([
    '/labwright/account',
    '/labwright',
    '/labwright/',
    '/labwright/docs?x=1&y=%2F',
    '/labwright/spawner/v1/lab-form/Zo%C3%AB',
    '/labwright/a(b)',
  ])('can be %s', (next) => {
    expect(safeNext(next, ADDRESS)).toBe(next);
  });

  it.each([
    undefined,
    '',
    '/',
    'account',
    '/user/mallory/',
    '/labwrightevil',
    '/labwright.evil/',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/labwright//evil.example',
    'https://evil.example',
    'https://hub.example.org/labwright/account',
    'https:evil.example',
    'javascript:alert(1)',
    ' /labwright/account',
    '/labwright/account\n',
    '/labwright/\tx',
    '\t//evil.example',
    '/labwright/../user/mallory',
    '/labwright/./account',
    '/labwright/%2e%2e/user/mallory',
    '/labwright/%2E./user/mallory',
    '/labwright/..%2fuser/mallory',
    '/labwright/%252e%252e/user',
    '/labwright/%5c%5cevil.example',
    '/labwright/%0d%0aSet-Cookie:x',
    '/labwright/%00',
    '/labwright/%zz',
    '/labwright/ünï',
    '/labwright/docs#top',
    '/%6cabwright/account',
    '/labwright/account?next=\\',
    '/labwright/login',
    '/labwright/login?next=/labwright/account',
    '/labwright/logout',
    '/labwright/oauth_callback?code=a',
    '/labwright/@evil.example/..//',
    `/labwright/${'x'.repeat(1100)}`,
  ])('cannot be %j', (next) => {
    expect(safeNext(next, ADDRESS)).toBeUndefined();
  });

  it('is on our host where everything on it is ours', () => {
    const address = { ...ADDRESS, path: '' };
    expect(safeNext('/account', address)).toBe('/account');
    for (const next of ['//evil.example', '/\\evil.example', '/login', '/..//evil.example']) {
      expect(safeNext(next, address)).toBeUndefined();
    }
  });

  it('is never outside, whatever is asked for', () => {
    const pieces = fc.constantFrom(
      ...[
        '/',
        '//',
        '\\',
        '.',
        '..',
        '%2e',
        '%2f',
        '%5c',
        '%',
        '?',
        '#',
        '@',
        ':',
        'labwright',
        'evil.example',
        ' ',
        '\t',
      ],
      ...['https:', 'a', ';', '\n', 'é', '%25'],
    );
    const texts = fc.oneof(
      fc.array(pieces, { maxLength: 8 }).map((parts) => `/labwright/${parts.join('')}`),
      fc.array(pieces, { maxLength: 10 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const next = safeNext(text, ADDRESS);
        if (next === undefined) return;
        const url = new URL(next, `${ADDRESS.origin}/labwright/login`);
        expect(url.origin).toBe(ADDRESS.origin);
        expect(url.pathname).toMatch(/^\/labwright(\/|$)/);
        expect(decodeURIComponent(url.pathname)).not.toMatch(/\\|\/\/|\/\.\.?(\/|$)/);
      }),
      { numRuns: 3000 },
    );
  });
});
