import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fillPlaceholders,
  findPlaceholders,
  PLACEHOLDER_NAMES,
  shortestOf,
} from '../../../src/domain/lab/placeholders.ts';
import { isIdentityName } from '../../../src/domain/user/identity-name.ts';

const NAMES = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
    fc.constantFrom(
      '..',
      '...',
      '-',
      '--',
      'a--b',
      'Ada',
      'ada@example.org',
      'x-',
      '-x',
      '1',
      'ünï',
      '\u{1F600}',
      'a:b',
      '%2F',
    ),
  )
  .filter(isIdentityName);

function fill(template: string, username: string, servername = '', email?: string): string {
  return fillPlaceholders(template, { servername, user: { username, uid: 1101, gid: 1102, ...(email && { email }) } });
}

describe('a value with the user in it', () => {
  it.each([
    ['homes/{username}', 'homes/ada'],
    ['{username}--{servername}', 'ada--big-data'],
    ['{user_server}', 'ada--big-data'],
    ['{escaped_username}/{escaped_servername}', 'ada/big-2ddata'],
    ['{slug}', 'ada--big-data'],
    ['{uid}:{gid}', '1101:1102'],
    ['{email}', 'ada@example.org'],
    ['{"a": {"b": 1}}', '{"a": {"b": 1}}'],
    [
      '${home} {{username}} { username } {USER} {user-name} {0}',
      '${home} {{username}} { username } {USER} {user-name} {0}',
    ],
    ['{nobody} {constructor}', '{nobody} {constructor}'],
    ['{"user": "{username}"}', '{"user": "ada"}'],
  ])('%s', (template, value) => {
    expect(fill(template, 'ada', 'big-data', 'ada@example.org')).toBe(value);
  });

  it('is checked as it is without dashes that an empty name leaves', () => {
    expect(shortestOf('claim-{username}--{servername}')).toBe('claim-x');
    expect(shortestOf('{servername}')).toBe('');
  });

  it('loses the dashes at its end that an empty name leaves, and keeps those that were written', () => {
    expect(fill('{username}--{servername}', 'ada')).toBe('ada');
    expect(fill('{username}-', 'ada')).toBe('ada-');
    expect(fill('no name--', 'ada')).toBe('no name--');
    expect(fill('homes/{unescaped_username}', '-')).toBe('homes/-');
    expect(fill('{unescaped_username}--{servername}', 'bob-')).toBe('bob-');
  });

  it('is one part of a path whatever the name is, and a name of its own', () => {
    fc.assert(
      fc.property(NAMES, NAMES, (one, other) => {
        for (const name of ['username', 'escaped_username', 'slug', 'user_server']) {
          const part = fill(`homes/{${name}}`, one).slice('homes/'.length);
          expect(part).toMatch(/^[a-z0-9-]+$/);
          if (one !== other && name !== 'user_server') {
            expect(fill(`homes/{${name}}`, other)).not.toBe(`homes/${part}`);
          }
        }
        const raw = fill('homes/{unescaped_username}', one);
        expect(raw.split('/')).toHaveLength(2);
        expect(raw.split('/')).not.toContain('..');
      }),
    );
  });

  it('tells the servers of a user apart', () => {
    fc.assert(
      fc.property(NAMES, NAMES, NAMES, (username, one, other) => {
        for (const name of ['slug', 'user_server']) {
          const [left, right, none] = [one, other, ''].map((server) => fill(`{${name}}`, username, server));
          if (one !== other) expect(left).not.toBe(right);
          expect(left).not.toBe(none);
        }
      }),
    );
  });
});

it('every documented name is found, and told from those that are not known', () => {
  const template = [...PLACEHOLDER_NAMES, 'nobody'].map((name) => `{${name}}`).join(' ');
  const found = findPlaceholders(template);
  expect(found.filter(({ isKnown }) => isKnown).map(({ name }) => name)).toEqual(PLACEHOLDER_NAMES);
  expect(found.at(-1)).toMatchObject({ name: 'nobody', isKnown: false });
});
