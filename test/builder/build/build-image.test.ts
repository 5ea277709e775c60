import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builderDigest, imageOf } from '../../../src/builder/build/build-image.ts';
import { pinned } from '../../../src/domain/image/image-reference.ts';
import { builds } from '../../../src/config/builds/index.ts';
import type { RepositoryProvider, ResolvedRepository } from '../../../src/domain/build/build.ts';
import { parseImageReference } from '../../../src/domain/image/image-reference.ts';

const KEY = '0123456789abcdef'.repeat(4);
const ID = KEY.slice(0, 40);
const COMMIT = '50533eb470ee6c24e872043d30b2fee463d6943f';
const REGISTRY = { host: 'registry.example.org:5000' };
const BUILDER = { image: 'registry.example.org/builder:1' };

function configure(naming: object = {}, builder: object = {}, more: object = {}) {
  return builds.parse({
    registry: REGISTRY,
    naming,
    builder: { ...BUILDER, ...builder },
    ...more,
  });
}

function repository(url: string, provider: RepositoryProvider = 'git', commit = COMMIT): ResolvedRepository {
  return { provider, url, ref: 'main', commit, binderSlug: 'ada-notebooks' };
}

function nameOf(repo: ResolvedRepository, naming: object = {}): string {
  return imageOf(configure(naming), { repository: repo, path: '', key: KEY });
}

/** URLs as people write them, as attackers would like them, and such as differ in hardly anything. */
const anyUrl = fc.oneof(
  fc
    .tuple(fc.stringMatching(/^[a-z0-9](-?[a-z0-9]){0,50}$/), fc.stringMatching(/^[A-Za-z0-9._-]{1,100}$/))
    .map(([owner, name]) => `https://github.com/${owner}/${name}`),
  fc
    .string({
      unit: fc.constantFrom('a', 'b', 'A', '-', '.', '_', '/', '0'),
      minLength: 1,
      maxLength: 10,
    })
    .map((path) => `https://github.com/${path}`),
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.string({ unit: fc.constantFrom('a', '-', '/', '.'), maxLength: 300 }).map((path) => `https://git.example/${path}`),
);
const anyProvider = fc.constantFrom<RepositoryProvider>('gh', 'gl', 'git', 'gist', 'zenodo');
const anyRepository = fc.tuple(anyUrl, anyProvider).map(([url, provider]) => repository(url, provider));

const TEMPLATES = [
  { template: '{prefix}{slug}' },
  { template: '{prefix}{slug}', prefix: 'labs/r2d-' },
  { template: '{prefix}{provider}/{slug}', prefix: 'team_a/' },
  { template: '{slug}{provider}' },
  { template: '{prefix}{slug}/{key}' },
];

describe('the name of a built image', () => {
  it('says the repository, the commit and the build', () => {
    expect(
      nameOf(repository('https://github.com/ada/notebooks', 'gh'), {
        prefix: 'labs/',
      }),
    ).toBe(`registry.example.org:5000/labs/ada--notebooks:50533eb470ee-${ID}`);
  });

  it('ends with a hash where it is not the name of the repository any more', () => {
    expect(nameOf(repository('ssh://git@git.example.org/Ada/My%20notebooks.git'))).toMatch(
      /^registry\.example\.org:5000\/git-example-org-ada-my-20notebooks-git---[0-9a-f]{32}:50533eb470ee-[0-9a-f]{40}$/,
    );
  });

  it.each(TEMPLATES)('is valid with $template, whatever the repository is called', (naming) => {
    const config = configure(naming);
    fc.assert(
      fc.property(anyRepository, fc.string({ maxLength: 300 }), (repo, commit) => {
        const image = imageOf(config, {
          repository: { ...repo, commit },
          path: '',
          key: KEY,
        });
        const parsed = parseImageReference(image);
        expect(parsed?.registry).toBe(REGISTRY.host);
        expect(parsed?.tag).toContain(ID);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(TEMPLATES)('is never that of another repository with $template', (naming) => {
    const config = configure(naming);
    fc.assert(
      fc.property(anyRepository, anyRepository, (one, other) => {
        const same = one.url === other.url && one.provider === other.provider;
        const [name, otherName] = [one, other].map((repo) => imageOf(config, { repository: repo, path: '', key: KEY }));
        expect(name === otherName).toBe(same);
      }),
      { numRuns: 1_000 },
    );
  });

  it('tells apart what BinderHub takes for one', () => {
    const names = ['https://github.com/a-b/c', 'https://github.com/a/b-c', 'https://github.com/a/b.c'].map((url) =>
      nameOf(repository(url, 'gh')),
    );
    expect(new Set(names).size).toBe(3);
  });

  it('says the version of an archive as far as a tag can', () => {
    expect(nameOf(repository('10.5281/zenodo.3242074', 'zenodo', '3242074'))).toMatch(`:3242074-${ID}`);
    expect(nameOf(repository('10.5281/zenodo.3242074', 'zenodo', '/../'))).toMatch(`:${ID}`);
  });

  it("is BinderHub's with its scheme", () => {
    const config = builds.parse({
      registry: { host: 'gcr.io' },
      naming: { scheme: 'binderhub', prefix: 'p/r2d_' },
      builder: BUILDER,
    });
    const repo = {
      ...repository('https://github.com/binder-examples/requirements', 'gh'),
    };
    const build = {
      repository: { ...repo, binderSlug: 'binder-examples-requirements' },
      path: '',
      key: KEY,
    };
    expect(imageOf(config, build)).toBe(`gcr.io/p/r2d-binder-2dexamples-2drequirements-55ab5c:${COMMIT}`);
  });

  it('is refused where its scheme makes none that a registry takes', () => {
    expect(() => nameOf({ ...repository('x'), binderSlug: '/x' }, { scheme: 'binderhub' })).toThrow(
      expect.objectContaining({ reason: 'InvalidImageName' }),
    );
    expect(() => nameOf({ ...repository('x'), commit: 'a b' }, { scheme: 'binderhub' })).toThrow(
      expect.objectContaining({ reason: 'InvalidImageName' }),
    );
  });
});

describe('the configuration of names', () => {
  it.each([
    { prefix: '/labs' },
    { prefix: 'labs//' },
    { prefix: 'a..b' },
    { template: '{slug}/' },
    { template: '{slug}.{prefix}' },
    { template: '{prefix}{slug}', prefix: 'x'.repeat(100) },
    { scheme: 'binderhub', prefix: '-r2d' },
  ])('is refused where it makes invalid names: %o', (naming) => {
    expect(() => configure(naming)).toThrow(/expected/);
  });

  it.each(['registry', 'user/registry', 'https://registry.example.org', 'registry.example.org/', '-a.b', ''])(
    'does not take %o for the host of a registry',
    (host) => {
      expect(builds.safeParse({ registry: { host }, builder: BUILDER }).success).toBe(false);
    },
  );
});

describe('the digest of the builder', () => {
  const plain = builderDigest(configure());

  it.each([
    { image: 'registry.example.org/builder:2' },
    { userName: 'ada' },
    { userId: 1001 },
    { repositoryDirectory: '/srv/repo' },
    { appendix: 'USER root' },
    { buildArgs: { A: '1' } },
    { labels: { a: '1' } },
    { extraArgs: ['--debug'] },
  ])('changes with %o', (change) => {
    expect(builderDigest(configure({}, change))).not.toBe(plain);
  });

  it('stays the same with what makes no other image', () => {
    const same = configure(
      { prefix: 'labs/' },
      {
        cacheFrom: ['registry.example.org/cache:1'],
        imagePullPolicy: 'Always',
        imagePullSecrets: ['pull'],
      },
      { pod: { memory: '1Gi' }, backend: { kind: 'socket' } },
    );
    expect(builderDigest(same)).toBe(plain);
  });

  it('does not depend on the order in which a record is written', () => {
    const [one, other] = [
      { A: '1', B: '2' },
      { B: '2', A: '1' },
    ].map((buildArgs) => builderDigest(configure({}, { buildArgs })));
    expect(one).toBe(other);
  });

  it('tells a build argument from a label, and one argument from two', () => {
    const digests = [
      { buildArgs: { A: '1' } },
      { labels: { A: '1' } },
      { extraArgs: ['a', 'b'] },
      { extraArgs: ['a b'] },
    ].map((builder) => builderDigest(configure({}, builder)));
    expect(new Set(digests).size).toBe(4);
  });
});

describe('an image by its digest', () => {
  const digest = `sha256:${'a'.repeat(64)}`;

  it.each([
    ['registry.example.org:5000/labs/x:1', `registry.example.org:5000/labs/x@${digest}`],
    [`registry.example.org/x:1@sha256:${'b'.repeat(64)}`, `registry.example.org/x@${digest}`],
    ['ada/notebooks:1', `docker.io/ada/notebooks@${digest}`],
  ])('has it instead of the tag: %s', (reference, expected) => {
    expect(pinned(reference, digest)).toBe(expected);
  });

  it.each([
    ['registry.example.org/x:1', 'sha256:short'],
    ['Not A Reference', digest],
  ])('is not made of %s and %s', (reference, wrong) => {
    expect(() => pinned(reference, wrong)).toThrow(TypeError);
  });
});
