import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BuiltImage,
  builtImageOf,
  isReached,
  nameOfBuilt,
  newestBuilt,
} from '../../../src/domain/image/built-image.ts';
import { aBuildState, COMMIT, PINNED, READY } from '../../routes/builds/build-support.ts';

const digest = (at: number) => `sha256:${at.toString(16).padStart(64, '0')}`;

function anImage(repository: string, at: number, change: Partial<BuiltImage> = {}): BuiltImage {
  return {
    reference: `registry.example.org/${repository}@${digest(at)}`,
    repository: { provider: 'gh', url: `https://github.com/${repository}`, ref: 'main', commit: COMMIT },
    path: '',
    builtAt: at,
    ...change,
  };
}

describe('the image of a build', () => {
  it('is known once it is there', () => {
    expect(builtImageOf(aBuildState())).toBeUndefined();
    expect(builtImageOf(aBuildState({ phase: 'failed', finishedAt: 1 }))).toBeUndefined();
    expect(builtImageOf(aBuildState(READY, { path: 'course' }))).toEqual({
      reference: PINNED,
      repository: { provider: 'gh', url: 'https://github.com/ada/notebooks', ref: 'main', commit: COMMIT },
      path: 'course',
      builtAt: READY.finishedAt,
    });
  });

  it('has no ref where the default branch was built in the place of one that is not there', () => {
    const { repository } = aBuildState().spec;
    const state = aBuildState(READY, { repository: { ...repository, ref: 'master', isFallback: true } });
    expect(builtImageOf(state)?.repository.ref).toBe('HEAD');
  });

  const of = (url: string, ref = 'main', path = '', commit = COMMIT, provider: 'gh' | 'git' | 'zenodo' = 'git') =>
    nameOfBuilt(anImage('a/b', 1, { repository: { provider, url, ref, commit }, path }));
  it.each([
    ['a branch', of('https://github.com/ada/notebooks'), 'ada/notebooks (main, 1a2b3c4)'],
    ['a branch in full', of('https://github.com/ada/notebooks', 'refs/heads/x/y'), 'ada/notebooks (x/y, 1a2b3c4)'],
    ['the default branch', of('https://github.com/ada/notebooks', 'HEAD'), 'ada/notebooks (1a2b3c4)'],
    ['a commit', of('https://github.com/ada/notebooks', COMMIT), 'ada/notebooks (1a2b3c4)'],
    ['a directory', of('https://github.com/ada/all', 'v2', 'envs/gpu'), 'ada/all (v2, envs/gpu, 1a2b3c4)'],
    ['another host', of('https://gitlab.com/a/b/c.git'), 'gitlab.com/a/b/c (main, 1a2b3c4)'],
    ['a port', of('ssh://git@git.example.org:2222/a/b.git'), 'git.example.org:2222/a/b (main, 1a2b3c4)'],
    ['a DOI', of('10.5281/zenodo.3242074', 'HEAD', '', '3242074', 'zenodo'), '10.5281/zenodo.3242074 (3242074)'],
  ])('is called by repository, ref and commit: %s', (_, name, expected) => {
    expect(name).toBe(expected);
  });

  it.each([
    ['main', true],
    ['HEAD', true],
    ['refs/heads/x/y', true],
    ['refs/tags/v1', true],
    ['x/y', false],
    ['pull/7/head', false],
    ['refs/pull/7/head', false],
    [COMMIT, false],
  ])('of the ref %s is surely one of a branch or a tag: %s', (ref, expected) => {
    expect(isReached({ provider: 'gh', ref })).toBe(expected);
    expect(isReached({ provider: 'zenodo', ref })).toBe(true);
  });
});

describe('the newest images', () => {
  it('are those that were built last, repository by repository', () => {
    const images = [anImage('b/one', 1), anImage('a/two', 2), anImage('b/one', 3), anImage('b/one', 4)];
    expect(newestBuilt(images, 2).map(({ reference }) => reference)).toEqual([
      `registry.example.org/a/two@${digest(2)}`,
      `registry.example.org/b/one@${digest(4)}`,
      `registry.example.org/b/one@${digest(3)}`,
    ]);
  });

  it('have each digest once, as it was built last', () => {
    const again = anImage('a/b', 1, { builtAt: 5 });
    expect(newestBuilt([anImage('a/b', 1), anImage('a/b', 3), again], 5)).toEqual([again, anImage('a/b', 3)]);
  });

  it('are 300 at most', () => {
    const images = Array.from({ length: 400 }, (_, at) => anImage(`a/${at}`, at));
    const kept = newestBuilt(images, 5);
    expect(kept).toHaveLength(300);
    expect(Math.min(...kept.map(({ builtAt }) => builtAt))).toBe(100);
  });

  it('are the same in whatever order and however often they are looked at', () => {
    const image = fc
      .tuple(fc.constantFrom('a/a', 'a/b', 'b/a'), fc.nat(6), fc.nat(6), fc.constantFrom('main', 'next'))
      .map(([name, at, builtAt, ref]) => {
        const one = anImage(name, at, { builtAt });
        return { ...one, repository: { ...one.repository, ref } };
      });
    fc.assert(
      fc.property(fc.array(image), fc.integer({ min: 1, max: 4 }), fc.array(fc.boolean()), (images, newest, left) => {
        const kept = newestBuilt(images, newest);
        expect(newestBuilt(images.toReversed(), newest)).toEqual(kept);
        expect(newestBuilt([...kept, ...images.filter((_, at) => left[at])], newest)).toEqual(kept);
      }),
    );
  });
});
