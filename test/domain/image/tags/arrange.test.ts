import fc from 'fast-check';
import type { z } from 'zod';
import { describe, expect, it } from 'vitest';
import { arrangeTags, tagsToResolve } from '../../../../src/domain/image/tags/arrange.ts';
import type { TagRules } from '../../../../src/domain/image/tags/rules.ts';
import { tagRules } from '../../../../src/config/images/tag-rules.ts';

const NOW = Date.UTC(2077, 10, 20);
type Input = z.input<typeof tagRules>;

const rulesOf = (input: Input): TagRules => tagRules.parse({ grammar: 'rubin', ...input });
const digest = (image: string) => `sha256:${image.repeat(64)}`;
/** `w_2077_46=a` is a tag of the image `a`, and `w_2077_46` one whose digest is not known. */
const tagged = (...tags: readonly string[]) =>
  tags.map((text) => {
    const [tag = '', image] = text.split('=');
    return { tag, digest: image === undefined ? null : digest(image) };
  });
const arrange = (input: Input, ...tags: readonly string[]) => arrangeTags(tagged(...tags), rulesOf(input), NOW).tags;
const names = (all: readonly { readonly tag: string }[]) => all.map(({ tag }) => tag);
const wanted = (input: Input, ...tags: readonly string[]) => names(arrange(input, ...tags).filter((tag) => tag.wanted));
const listed = (input: Input, ...tags: readonly string[]) => names(arrange(input, ...tags).filter((tag) => tag.listed));

describe('an alias', () => {
  it('says what it stands for, and has its date, cycle and architecture', () => {
    const [recommended, target] = arrange(
      { recommended: 'recommended' },
      'w_2077_43_c0045.003=a',
      'recommended=a',
      'w_2077_46=b',
    ).filter(({ digest: found }) => found === digest('a'));
    expect(recommended).toMatchObject({
      tag: 'recommended',
      kind: 'unknown',
      title: 'Recommended (Weekly 2077_43, SAL Cycle 0045, Build 003)',
      date: Date.UTC(2077, 9, 28),
      cycle: 45,
      aliasOf: 'w_2077_43_c0045.003',
      aliases: ['w_2077_43_c0045.003'],
      recommended: true,
    });
    expect(target).toMatchObject({ aliasOf: null, aliases: ['recommended'], recommended: false });
  });

  it.each([
    ['recommended', 'w_2077_43', 'Recommended (Weekly 2077_43)'],
    ['latest_weekly', 'w_2077_43_rsp19_extra', 'Latest Weekly (Weekly 2077_43, RSP Build 19 [extra])'],
    ['recommended_c0045', 'w_2077_43_c0045.003', 'Recommended (Weekly 2077_43, SAL Cycle 0045, Build 003)'],
    ['recommended_c0045', 'w_2077_43', 'Recommended (SAL Cycle 0045, Weekly 2077_43)'],
    ['stable-arm64', 'w_2077_43-arm64', 'Stable [arm64] (Weekly 2077_43 [arm64])'],
  ])('%s of %s is called %s', (alias, target, title) => {
    const [first] = arrange({ aliases: [alias] }, `${target}=a`, `${alias}=a`);
    expect(first).toMatchObject({ tag: alias, title });
  });

  it.each([
    ['semver', 'latest', '4.2.1', 'Latest (4.2.1)'],
    ['semver', '4.2', '4.2.1', '4.2 (4.2.1)'],
    ['date', 'latest', '2026-11-30-abc1234', 'Latest (2026-11-30 [abc1234])'],
  ] as const)('by %s, %s of %s is called %s', (grammar, alias, target, title) => {
    const [first] = arrange({ grammar, aliases: [alias] }, `${target}=a`, `${alias}=a`);
    expect(first).toMatchObject({ tag: alias, title, aliasOf: target });
  });

  it('is offered as itself when its digest is not known, or of no tag that is offered', () => {
    const [recommended, latest] = arrange(
      { recommended: 'recommended', aliases: ['latest_c0045'], exclude: ['w_2077_43'] },
      'recommended',
      'latest_c0045=a',
      'w_2077_43=a',
      'w_2077_46=b',
    );
    expect(recommended).toMatchObject({ title: 'Recommended', aliasOf: null, aliases: [], listed: true, wanted: true });
    expect(latest).toMatchObject({
      title: 'Latest (SAL Cycle 0045)',
      aliasOf: null,
      aliases: [],
      listed: true,
      cycle: 45,
    });
  });

  it('lists another one of a digest that no other tag has', () => {
    const all = arrange(
      { recommended: 'recommended', aliases: ['latest'] },
      'recommended=a',
      'latest=a',
      'w_2077_46=b',
    );
    expect(all.slice(0, 2)).toMatchObject([
      { tag: 'recommended', aliasOf: null, aliases: ['latest'] },
      { tag: 'latest', aliasOf: null, aliases: ['recommended'] },
    ]);
  });

  it('is also a tag that the grammar does not know, of an image that it knows', () => {
    const [first] = arrange({}, 'w_2077_46=a', 'w_2077_47=b', 'build-17=a');
    expect(first).toMatchObject({ tag: 'build-17', title: 'Build 17 (Weekly 2077_46)', aliasOf: 'w_2077_46' });
  });

  it('stands for the first of two tags of one image', () => {
    const all = arrange(
      { recommended: 'recommended' },
      'd_2077_11_18=a',
      'w_2077_46-amd64=a',
      'w_2077_46=a',
      'recommended=a',
    );
    expect(all.map(({ tag, aliasOf }) => [tag, aliasOf])).toEqual([
      ['recommended', 'w_2077_46'],
      ['w_2077_46', null],
      ['w_2077_46-amd64', null],
      ['d_2077_11_18', null],
    ]);
    expect(all[3]?.aliases).toEqual(['recommended', 'w_2077_46', 'w_2077_46-amd64']);
  });

  it('is not what is recommended by the name that it keeps', () => {
    const all = arrange(
      { grammar: 'semver', recommended: '4.2.0', kinds: { release: { wanted: 2 } } },
      'latest=a',
      '4.2=a',
      '4.2.0=a',
      '4.3.0=b',
      '4.1.0=c',
    );
    expect(all.map(({ tag, title, aliasOf, wanted: isWanted }) => [tag, title, aliasOf, isWanted])).toEqual([
      ['4.2.0', '4.2.0', null, true],
      ['latest', 'Latest (4.2.0)', '4.2.0', false],
      ['4.3.0', '4.3.0', null, true],
      ['4.2', '4.2', null, false],
      ['4.1.0', '4.1.0', null, false],
    ]);
  });

  it('names no more than a hundred other tags', () => {
    const tags = Array.from({ length: 5000 }, (_, index) => `1.0.${String(index)}=a`);
    expect(Math.max(...arrange({ grammar: 'semver' }, ...tags).map(({ aliases }) => aliases.length))).toBe(100);
  });
});

describe('the order of what is offered', () => {
  it('is the recommended one, aliases as they are named, other aliases, and then that of the grammar', () => {
    const tags = ['d_2077_11_18', 'old=a', 'w_2077_46=a', 'latest', 'newest', 'r22_0_1', 'recommended', 'other'];
    expect(names(arrange({ recommended: 'recommended', aliases: ['newest', 'latest'] }, ...tags))).toEqual([
      'recommended',
      'newest',
      'latest',
      'old',
      'r22_0_1',
      'w_2077_46',
      'd_2077_11_18',
      'other',
    ]);
  });

  it('has each tag once, and no text that is no tag', () => {
    expect(names(arrange({}, 'w_2077_46', 'w_2077_46=a', '-x', 'a b', '', 'w_2077_46'))).toEqual(['w_2077_46']);
  });
});

describe('what is offered', () => {
  const TAGS = [
    'recommended',
    'latest',
    'w_2077_46_c0045.001',
    'w_2077_45_c0044.001',
    'w_2077_44',
    'stable_c0045',
    'r22_0_1',
  ];

  it.each<[string, Input, string[]]>([
    [
      'everything without rules',
      {},
      ['r22_0_1', 'w_2077_46_c0045.001', 'w_2077_45_c0044.001', 'w_2077_44', 'stable_c0045', 'recommended', 'latest'],
    ],
    [
      'a cycle, with what is named',
      { cycle: 45, recommended: 'recommended', pinned: ['w_2077_44'] },
      ['recommended', 'w_2077_46_c0045.001', 'w_2077_44', 'stable_c0045'],
    ],
    [
      'what a pattern includes',
      { include: ['w_.*|r.*_1'] },
      ['r22_0_1', 'w_2077_46_c0045.001', 'w_2077_45_c0044.001', 'w_2077_44'],
    ],
    ['what a list includes', { include: ['r22_0_1', 'gone'] }, ['r22_0_1']],
    [
      'what is not excluded',
      { exclude: ['.*_c.*'], aliases: ['stable_c0045'] },
      ['stable_c0045', 'r22_0_1', 'w_2077_44', 'recommended', 'latest'],
    ],
    [
      'nothing that is excluded, also if included',
      { include: ['w_.*'], exclude: ['w_2077_44'] },
      ['w_2077_46_c0045.001', 'w_2077_45_c0044.001'],
    ],
  ])('is %s', (_, input, offered) => {
    expect(names(arrange(input, ...TAGS))).toEqual(offered);
  });

  it('leaves out what a pattern takes too long over', () => {
    const rules = (pattern: Partial<TagRules>): TagRules => ({ ...rulesOf({}), ...pattern });
    const slow = 'a'.repeat(100);
    const offered = (pattern: Partial<TagRules>) => names(arrangeTags(tagged(slow, 'aa'), rules(pattern), NOW).tags);
    expect(offered({ include: ['(a+)+|(a+)+b'] })).toEqual([slow, 'aa']);
    expect(offered({ include: ['(a+)+b|aa'] })).toEqual(['aa']);
    expect(offered({ exclude: ['(a+)+b'] })).toEqual(['aa']);
  });
});

describe('the menu of all images', () => {
  const WEEKLIES = ['w_2077_46', 'w_2077_45', 'w_2077_44', 'w_2077_40', 'w_2076_50'];

  it.each<[string, Input, string[]]>([
    ['has all', {}, WEEKLIES],
    ['has the newest of a kind', { kinds: { weekly: { listed: 2 } } }, ['w_2077_46', 'w_2077_45']],
    ['has none of a kind', { kinds: { weekly: { listed: 0 } } }, []],
    ['has what is wanted in any case', { kinds: { weekly: { listed: 0, wanted: 1 } } }, ['w_2077_46']],
    ['has what is young enough', { kinds: { weekly: { maxAge: '3w' } } }, ['w_2077_46', 'w_2077_45', 'w_2077_44']],
    [
      'has what is no older than a tag',
      { kinds: { weekly: { since: 'w_2077_40' } } },
      ['w_2077_46', 'w_2077_45', 'w_2077_44', 'w_2077_40'],
    ],
    [
      'has what is no older than a day',
      { kinds: { weekly: { since: '2077-11-04' } } },
      ['w_2077_46', 'w_2077_45', 'w_2077_44'],
    ],
    [
      'has what all rules leave',
      { kinds: { weekly: { maxAge: '3w', since: 'w_2077_45', listed: 5 } } },
      ['w_2077_46', 'w_2077_45'],
    ],
    ['has what is pinned', { kinds: { weekly: { listed: 1 } }, pinned: ['w_2076_50'] }, ['w_2077_46', 'w_2076_50']],
  ])('%s', (_, input, menu) => {
    expect(listed(input, ...WEEKLIES)).toEqual(menu);
  });

  it('counts images, and has all tags of an image that is counted', () => {
    expect(
      listed({ kinds: { weekly: { listed: 2 } } }, 'w_2077_46=a', 'w_2077_45=a', 'w_2077_44=b', 'w_2077_43=c'),
    ).toEqual(['w_2077_46', 'w_2077_45', 'w_2077_44']);
  });

  it('has a tag of an architecture only when it is named', () => {
    const tags = ['w_2077_46-arm64', 'w_2077_46', 'w_2077_45-arm64', 'w_2077_45'];
    const input = { kinds: { weekly: { wanted: 2 } }, pinned: ['w_2077_45-arm64'] };
    expect(listed(input, ...tags)).toEqual(['w_2077_46', 'w_2077_45', 'w_2077_45-arm64']);
    expect(wanted(input, ...tags)).toEqual(['w_2077_46', 'w_2077_45', 'w_2077_45-arm64']);
  });

  it('knows no age of tags without a date', () => {
    expect(listed({ kinds: { experimental: { maxAge: '1w' } } }, 'exp_w_2077_46', 'exp_w_2077_40', 'exp_mine')).toEqual(
      ['exp_w_2077_46', 'exp_mine'],
    );
  });

  it.each<[string, Input, string[], string[]]>([
    [
      'versions since one',
      { grammar: 'semver', kinds: { release: { since: '4.1' } } },
      ['4.2', '4.1.1', '4.1', '4.0.9'],
      ['4.2', '4.1.1', '4.1'],
    ],
    [
      'the newest versions',
      { grammar: 'semver', kinds: { release: { listed: 1 } } },
      ['10.0.0', '9.0.0', '10.0.0-rc1'],
      ['10.0.0', '10.0.0-rc1'],
    ],
    [
      'dates since one',
      { grammar: 'date', kinds: { dated: { since: '20771101' } } },
      ['2077-11-02', '2077-11-01', '2077-10-31', 'x'],
      ['2077-11-02', '2077-11-01', 'x'],
    ],
    [
      'the newest dates',
      { grammar: 'date', kinds: { dated: { maxAge: '2d', listed: 1 }, unknown: { listed: 0 } } },
      ['2077-11-19', '2077-11-18', 'x'],
      ['2077-11-19'],
    ],
  ])('has %s', (_, input, tags, menu) => {
    expect(listed(input, ...tags)).toEqual(menu);
  });
});

describe('what is wanted', () => {
  const TAGS = [
    'r22_0_1',
    'r22_0_0',
    'w_2077_46',
    'w_2077_45',
    'w_2077_44',
    'd_2077_11_18',
    'recommended',
    'w_2076_50',
  ];

  it.each<[string, Input, string[]]>([
    ['nothing without rules', {}, []],
    [
      'the newest of each kind',
      { kinds: { release: { wanted: 1 }, weekly: { wanted: 2 } } },
      ['r22_0_1', 'w_2077_46', 'w_2077_45'],
    ],
    [
      'what is recommended and pinned',
      { recommended: 'recommended', pinned: ['w_2076_50', 'gone'] },
      ['recommended', 'w_2076_50'],
    ],
    [
      'none that is deprecated, but for those that are pinned',
      { kinds: { weekly: { wanted: 2 } }, deprecated: ['w_2077_45|w_2076.*'], pinned: ['w_2076_50'] },
      ['w_2077_46', 'w_2077_44', 'w_2076_50'],
    ],
    ['none that is too old', { kinds: { weekly: { wanted: 3, maxAge: '10d' } } }, ['w_2077_46', 'w_2077_45']],
  ])('is %s', (_, input, tags) => {
    expect(wanted(input, ...TAGS)).toEqual(tags);
  });

  it('is one tag of each image', () => {
    const input: Input = { grammar: 'semver', kinds: { release: { wanted: 2 } } };
    expect(wanted(input, '4.2.1=a', '4.2=c', '4.2.0=c', 'v4.2.1=a', '4.1.0=b')).toEqual(['v4.2.1', '4.2.0']);
  });

  it('says what is deprecated', () => {
    const all = arrange({ deprecated: ['w_2077_44'] }, 'w_2077_44', 'w_2077_45');
    expect(all.map(({ tag, deprecated, listed: isListed }) => [tag, deprecated, isListed])).toEqual([
      ['w_2077_45', false, true],
      ['w_2077_44', true, true],
    ]);
  });
});

describe('the tags whose digests have to be known', () => {
  const many = Array.from({ length: 30 }, (_, index) => `w_2077_${String(index + 1)}`);
  const toResolve = (input: Input, tags: readonly string[]) => tagsToResolve(tags, rulesOf(input), NOW);

  it('are none where nothing is wanted and there are no aliases', () => {
    expect(toResolve({}, many)).toEqual([]);
  });

  it('are those that are named and there, and the newest, to compare them with', () => {
    expect(
      toResolve({ recommended: 'recommended', aliases: ['latest', 'gone'], pinned: ['w_2077_1'] }, [
        'latest',
        ...many,
        'recommended',
        'x',
      ]),
    ).toEqual(['recommended', 'w_2077_1', 'latest', ...many.slice(-10).reverse()]);
  });

  it('are enough to tell the wanted ones apart', () => {
    expect(toResolve({ kinds: { weekly: { wanted: 2 } } }, many)).toEqual([
      'w_2077_30',
      'w_2077_29',
      'w_2077_28',
      'w_2077_27',
    ]);
  });

  it('are bounded, with the newest of every kind', () => {
    const kinds = {
      release: { wanted: 100 },
      weekly: { wanted: 100 },
      daily: { wanted: 100 },
      experimental: { wanted: 100 },
    };
    const tags = Array.from({ length: 300 }, (_, index) => [
      `r1_0_${String(index)}`,
      `w_${String(1000 + index)}_1`,
      `d_${String(1000 + index)}_01_01`,
      `exp_w_${String(1000 + index)}_1`,
    ]).flat();
    const resolved = toResolve({ kinds }, tags);
    expect(resolved).toHaveLength(500);
    expect(resolved.slice(0, 5)).toEqual(['r1_0_299', 'w_1299_1', 'd_1299_01_01', 'exp_w_1299_1', 'r1_0_298']);
  });

  it('let every wanted tag have its digest, where an image has two tags', () => {
    const input: Input = { recommended: 'recommended', kinds: { release: { wanted: 2 }, weekly: { wanted: 20 } } };
    const tags = ['recommended', 'r22_0_1', 'r22_0_0', 'r21_0_0', ...many.flatMap((tag) => [tag, `${tag}_again`])];
    const asked = new Set(toResolve(input, tags));
    const known = tags.map((tag, index) => {
      const image = Math.floor(index / 2)
        .toString(16)
        .padStart(64, '0');
      return { tag, digest: asked.has(tag) ? `sha256:${image}` : null };
    });
    const chosen = arrangeTags(known, rulesOf(input), NOW).tags.filter((tag) => tag.wanted);
    expect(chosen).toHaveLength(23);
    expect(chosen.filter((tag) => tag.digest === null)).toEqual([]);
  });
});

describe('whatever a repository has', () => {
  const image = fc.record({
    tag: fc.oneof(
      fc.constantFrom(
        'recommended',
        'latest',
        'other',
        'recommended_c0045',
        'r22_0_1',
        'r22_0_0',
        'd_2077_11_18',
        'exp_w_2077_46',
      ),
      fc
        .tuple(fc.integer({ min: 1, max: 52 }), fc.constantFrom('', '_c0045.001', '_c0044.001', '_x', '-arm64'))
        .map(([week, suffix]) => `w_2077_${String(week)}${suffix}`),
    ),
    digest: fc.constantFrom(null, digest('a'), digest('b'), digest('c')),
  });
  const images = fc.uniqueArray(image, { maxLength: 30, selector: ({ tag }) => tag });
  const input: fc.Arbitrary<Input> = fc.record(
    {
      recommended: fc.constantFrom('recommended', 'r22_0_1'),
      aliases: fc.subarray(['latest', 'recommended_c0045', 'w_2077_46']),
      pinned: fc.subarray(['w_2077_1', 'r22_0_0', 'other']),
      cycle: fc.constant(45),
      exclude: fc.constant(['.*_x|other']),
      deprecated: fc.constant(['w_2077_4.*']),
      kinds: fc.record({ weekly: fc.record({ wanted: fc.nat(3), listed: fc.nat(5) }) }),
    },
    { requiredKeys: [] },
  );

  it('is arranged in the same way however it came', () => {
    const shuffled = images.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(shuffled, input, ([all, others], rules) => {
        expect(arrangeTags(others, rulesOf(rules), NOW)).toEqual(arrangeTags(all, rulesOf(rules), NOW));
      }),
    );
  });

  it('names only tags of the same image that are offered, and each way round', () => {
    fc.assert(
      fc.property(images, input, (all, rules) => {
        const { tags } = arrangeTags(all, rulesOf(rules), NOW);
        for (const { tag, digest: own, aliases, aliasOf } of tags) {
          const others = tags.filter((other) => own !== null && other.digest === own && other.tag !== tag);
          expect(aliases).toEqual(names(others).sort());
          expect(aliasOf === null || aliases.includes(aliasOf)).toBe(true);
          // No alias stands for an alias.
          expect(tags.find((other) => other.tag === aliasOf)?.aliasOf ?? null).toBeNull();
        }
      }),
    );
  });

  it('has what is named, recommended first, and lists what is wanted', () => {
    fc.assert(
      fc.property(images, input, (all, rules) => {
        const { tags } = arrangeTags(all, rulesOf(rules), NOW);
        const { recommended, aliases = [], pinned = [] } = rules;
        const named = [recommended, ...aliases, ...pinned];
        const there = new Set(names(tags));
        expect(names(all).filter((tag) => named.includes(tag) && !there.has(tag))).toEqual([]);
        expect(tags.slice(1).some((tag) => tag.recommended)).toBe(false);
        expect(tags.filter((tag) => tag.wanted && !tag.listed)).toEqual([]);
      }),
    );
  });
});
