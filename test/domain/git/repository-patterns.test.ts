import { describe, expect, it } from 'vitest';
import type { Repository } from '../../../src/domain/build/build.ts';
import { parseRepository } from '../../../src/domain/git/repository.ts';
import { RepositoryPatterns, whyMatchesNothing } from '../../../src/domain/git/repository-patterns.ts';

const HOSTS = { github: { url: 'https://github.com' }, gitlab: { url: 'https://gitlab.com' } };

function admits(lists: { allowed?: string[]; denied?: string[] }, text: string, ref = 'main'): boolean {
  const repository: Repository = parseRepository(text, HOSTS);
  return new RepositoryPatterns({ allowed: [], denied: [], ...lists }).admits(repository, ref);
}

describe('a repository that is denied', () => {
  it.each([
    ['^https://github\\.com/owner/name$', 'https://github.com/owner/name.git'],
    ['^https://github\\.com/owner/name\\.git$', 'owner/name'],
    ['^https://github.com/owner/', 'git@github.com:OWNER/Name.git'],
    ['^owner/.*', 'https://github.com/owner/name'],
    ['^owner/name/main$', 'https://github.com/owner/name'],
    ['^gh/owner/', 'owner/name'],
    ['^github\\.com/owner/', 'owner/name'],
    ['^git@github.com:owner|^ssh://git@github\\.com/owner/', 'owner/name'],
    ['^group/sub/.*', 'https://gitlab.com/group/sub/name'],
    ['^group%2Fsub%2F', 'https://gitlab.com/group/sub/name.git'],
    ['^https://gitlab\\.com/group/name$', 'https://gitlab.com/group/name'],
    ['^https://git\\.example\\.org/ada/a$', 'https://git.example.org/ada/a.git'],
    ['^https://git\\.example\\.org/ada/', 'ssh://git@git.example.org/ada/a'],
    ['^https://git\\.example\\.org/ada/', 'ssh://git@git.example.org:2222/ada/a'],
    ['^https%3A%2F%2Fgit.example.org', 'https://git.example.org/ada/a'],
    ['^10\\.5281/zenodo\\.7$', 'https://zenodo.org/records/7'],
    ['^zenodo/10\\.5281', '10.5281/zenodo.7'],
    ['^https://zenodo\\.org/records/7', '10.5281/zenodo.7'],
    ['^https://doi\\.org/10\\.5281/|^doi:10', '10.5281/zenodo.7'],
    ['^https://github\\.com/owner/name/', 'owner/name'],
    ['^https://github\\.com:443/owner/', 'owner/name'],
    ['^https://www\\.github\\.com/owner/', 'owner/name'],
    ['^git@github\\.com:owner/', 'owner/name'],
    ['github.com:owner', 'owner/name'],
    ['^https://git\\.example\\.org/ada/größe', 'https://git.example.org/ada/gr%C3%B6%C3%9Fe'],
  ])('by %s is so as %s', (pattern, text) => {
    expect(admits({ denied: [pattern] }, text)).toBe(false);
    expect(admits({ allowed: ['.'], denied: [pattern] }, text)).toBe(false);
  });

  it.each([
    ['^owner/.*', 'other/owner'],
    ['^https://github\\.com/owner/name$', 'owner/names'],
    ['^gl/owner/', 'owner/name'],
  ])('by %s is not %s', (pattern, text) => {
    expect(admits({ denied: [pattern] }, text)).toBe(true);
  });
});

it.each(['dev', 'refs/heads/dev', 'heads/dev', 'refs/tags/dev'])('a ref that is denied is so as %s', (ref) => {
  expect(admits({ denied: ['^owner/name/dev$'] }, 'owner/name', ref)).toBe(false);
  expect(admits({ denied: ['^owner/name/refs/heads/dev$'] }, 'owner/name', ref)).toBe(false);
  expect(admits({ denied: ['^owner/name/dev$'] }, 'owner/name', 'develop')).toBe(true);
});

describe('a repository that is allowed', () => {
  it.each([
    ['^https://github\\.com/owner/name$', 'https://github.com/owner/name.git', true],
    ['^owner/.*', 'owner/name', true],
    ['^owner/.*', 'https://gitlab.com/owner/name', false],
    ['^https://gitlab\\.com/group/name$', 'https://gitlab.com/group/name', true],
    ['^https://git\\.example\\.org/', 'ssh://git@git.example.org/ada/a', false],
  ])('by %s: %s is it: %s', (pattern, text, expected) => {
    expect(admits({ allowed: [pattern] }, text)).toBe(expected);
  });
});

it.each([
  ['^git@github\\.com:owner/', 'user@host:path'],
  ['^git://github\\.com/', 'git://'],
  ['^file:\\/\\/', 'file://'],
  ['owner name', 'space'],
  ['\\?ref=main', 'query'],
  ['github\\.com^owner', 'beginning'],
])('a pattern that matches nothing is told from others: %s', (source, why) => {
  expect(whyMatchesNothing(source)).toContain(why);
});

it.each([
  '^https://github\\.com/owner/',
  '^owner/.*',
  'owner\\.git$',
  '^(?!https://github\\.com/)',
  '^https?://',
  '[^/]+/a$',
  'a|^b',
])('nothing is said against %s', (source) => {
  expect(whyMatchesNothing(source)).toBeUndefined();
});
