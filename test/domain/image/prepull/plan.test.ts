import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assessNode, type PrepullSettings } from '../../../../src/domain/image/prepull/assess.ts';
import type { PullNode } from '../../../../src/domain/image/prepull/node.ts';
import { IMAGES_PER_POD, planPrepull, type PrepullSituation } from '../../../../src/domain/image/prepull/plan.ts';
import type { Puller } from '../../../../src/domain/image/prepull/puller.ts';
import { has, NO_RECORD, type PrepullRecord, recordOutcomes } from '../../../../src/domain/image/prepull/record.ts';
import type { WantedImage } from '../../../../src/domain/image/wanted-image.ts';
import { aNode, anImage, aPuller, digestOf, NOW, settings } from './situations.ts';

function plan(change: Partial<PrepullSituation> = {}) {
  const wanted = [anImage(1), anImage(2)];
  return planPrepull({
    ...{ nodes: [aNode()], wanted, running: [], record: NO_RECORD, now: NOW, settings: settings() },
    ...change,
  });
}

const failed = (record: PrepullRecord, digest = digestOf(1), node = 'node-1') =>
  recordOutcomes(record, node, [{ digest, failure: { reason: 'ErrImagePull', message: 'no' } }], {
    now: NOW,
    random: () => 1,
  });

describe('what is pulled next', () => {
  it('is what a node lacks, the most important first, a few images in one pod', () => {
    const wanted = [1, 2, 3, 4, 5, 6, 7].map((number) => anImage(number));
    const nodes = [aNode({ digests: new Set([digestOf(2)]) })];
    const { start } = plan({ wanted, nodes });
    expect(start.map(({ node, images }) => [node, images.map(({ digest }) => digest)])).toEqual([
      ['node-1', [1, 3, 4, 5, 6].map(digestOf)],
    ]);
  });

  it('is nothing where a pod is there, is being created, or is still being deleted', () => {
    expect(plan({ running: [aPuller()] }).start).toEqual([]);
    expect(plan({ starting: new Map([['node-1', 'registry.example']]) }).start).toEqual([]);
    expect(plan({ running: [aPuller({ isTerminating: true })] }).start).toEqual([]);
  });

  it('is the most important image of all nodes, before less important ones of any', () => {
    const nodes = [aNode({ name: 'a', digests: new Set([digestOf(1)]) }), aNode({ name: 'b' })];
    const { start } = plan({ nodes, settings: settings({ pullsAtOnce: 1 }) });
    expect(start.map(({ node }) => node)).toEqual(['b']);
  });

  it('goes around a registry from which enough is pulled', () => {
    const other = anImage(2, { reference: `other.example/lab:2@${digestOf(2)}` });
    const { start } = plan({
      nodes: [aNode({ name: 'a' }), aNode({ name: 'b' })],
      wanted: [anImage(1), other],
      settings: settings({ perRegistry: 1 }),
    });
    expect(start.map(({ registry }) => registry)).toEqual(['registry.example', 'other.example']);
  });

  it('leaves an image that has failed alone until its time has come, and takes it alone then', () => {
    const record = failed(NO_RECORD);
    const before = plan({ record });
    expect(before.start.map(({ images }) => images.map(({ digest }) => digest))).toEqual([[digestOf(2)]]);
    expect(plan({ record, wanted: [anImage(1)] }).next).toBe(30_000);
    const after = plan({ record, now: NOW + 30_000 });
    expect(after.start.map(({ images }) => images.map(({ digest }) => digest))).toEqual([[digestOf(1)]]);
  });

  it('believes a pull that the node does not list for six hours', () => {
    const record = recordOutcomes(NO_RECORD, 'node-1', [{ digest: digestOf(1) }], { now: NOW });
    const wanted = [anImage(1)];
    expect(plan({ record, wanted, now: NOW + 6 * 3_600_000 - 1 }).start).toEqual([]);
    expect(plan({ record, wanted, now: NOW + 6 * 3_600_000 }).start).toHaveLength(1);
  });

  it('waits for the hours of the day that are set, but for a node in its first hour', () => {
    // 12:00 in UTC; pulls begin at 23:00 there.
    const window = { before: 1, timeZone: 'Europe/Berlin', lead: 3_600_000 + 60_000 };
    const nodes = [aNode({ name: 'old' }), aNode({ name: 'new', createdAt: NOW - 60_000 })];
    const { start, next } = plan({ nodes, settings: settings({ window }) });
    expect(start.map(({ node }) => node)).toEqual(['new']);
    expect(next).toBe(600_000);
    const later = plan({ nodes, settings: settings({ window }), now: Date.UTC(2026, 10, 30, 22) });
    expect(later.start.map(({ node }) => node)).toEqual(['new', 'old']);
  });
});

describe('what is removed', () => {
  it('is a pod of which all is known, with that', () => {
    const outcomes = [{ digest: digestOf(1) }];
    expect(plan({ running: [aPuller({ outcomes })] }).remove).toMatchObject([{ outcomes, puller: { uid: 'uid' } }]);
  });

  it.each<[string, Partial<PrepullSituation>]>([
    ['nobody wants its images any more', { wanted: [anImage(7)] }],
    ['its node is gone', { nodes: [] }],
    ['its node does not answer', { nodes: [aNode({ isReady: false })] }],
  ])('is a pod when %s', (_why, change) => {
    expect(plan({ running: [aPuller()], ...change }).remove).toMatchObject([{ outcomes: [] }]);
  });

  it('is a pod that finds no place on its node for a minute: the node is left alone for a while', () => {
    const running = [aPuller({ isScheduled: false, refusal: 'Too many pods' })];
    expect(plan({ running }).next).toBe(60_000);
    const { remove } = plan({ running, now: NOW + 60_000 });
    expect(remove).toMatchObject([{ outcomes: [{ failure: { reason: 'Unschedulable', message: 'Too many pods' } }] }]);
    const record = recordOutcomes(NO_RECORD, 'node-1', remove[0]?.outcomes ?? [], { now: NOW });
    expect(plan({ record }).start).toEqual([]);
  });
});

describe('what belongs on a node', () => {
  const names = (node: PullNode, wanted: readonly WantedImage[], change: Partial<PrepullSettings> = {}) => {
    const { images, comment } = assessNode(node, wanted, settings(change));
    return { names: images.map(({ name }) => name), comment };
  };

  it('has its architecture', () => {
    const wanted = [
      anImage(1, { architectures: ['arm64'] }),
      anImage(2, { architectures: ['amd64', 'arm64'] }),
      anImage(3),
    ];
    expect(names(aNode(), wanted).names).toEqual(['Lab 2', 'Lab 3']);
    expect(names(aNode({ architecture: null }), wanted).names).toHaveLength(3);
  });

  it('fits on its disk; what is least important is left out, with a comment', () => {
    const wanted = [anImage(1), anImage(2), anImage(3, { size: null })];
    // Two images of 1 GiB take 7 GiB unpacked.
    expect(names(aNode({ ephemeralStorage: 14 * 2 ** 30 }), wanted)).toEqual({
      names: ['Lab 1', 'Lab 2', 'Lab 3'],
      comment: null,
    });
    expect(names(aNode({ ephemeralStorage: 10 * 2 ** 30 }), wanted)).toEqual({
      names: ['Lab 1'],
      comment: 'Not pulled ahead, since images may take 5 GiB of the disk of the node: Lab 2, Lab 3',
    });
  });

  it('is one image once, however many tags it has', () => {
    expect(names(aNode(), [anImage(1), anImage(1, { name: 'Recommended' })]).names).toEqual(['Lab 1']);
  });
});

const registries = ['one.example', 'two.example', 'three.example'];
const image = fc
  .record({
    number: fc.integer({ min: 1, max: 30 }),
    registry: fc.constantFrom(...registries),
    architectures: fc.constantFrom(null, ['amd64'], ['arm64']),
    size: fc.constantFrom(null, 2 ** 30, 2 ** 36),
  })
  .map(({ number, registry, ...rest }) =>
    anImage(number, { reference: `${registry}/lab:${String(number)}@${digestOf(number)}`, ...rest }),
  );
const wantedImages = fc.uniqueArray(image, { maxLength: 20, selector: ({ digest }) => digest });
const node = fc.record({
  isReady: fc.boolean(),
  hasDiskPressure: fc.boolean(),
  isUnschedulable: fc.boolean(),
  taints: fc.constantFrom([], [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }]),
  architecture: fc.constantFrom('amd64', 'arm64'),
  ephemeralStorage: fc.constantFrom(null, 2 ** 36, 2 ** 40),
});
const nodes = fc
  .array(node, { maxLength: 12 })
  .map((list) => list.map((change, index) => aNode({ name: `node-${String(index)}`, ...change })));
const anySettings = fc
  .record({ pullsAtOnce: fc.integer({ min: 1, max: 6 }), perRegistry: fc.integer({ min: 1, max: 6 }) })
  .map((change) => settings(change));

describe('whatever there is', () => {
  /** Does what plans say until there is nothing more to do. `succeeds` says what becomes of each pull. */
  function run(
    situation: { nodes: PullNode[]; wanted: WantedImage[]; settings: PrepullSettings },
    succeeds: (node: string, digest: string) => boolean,
    check: (running: readonly Puller[]) => void,
  ): PrepullRecord {
    let record = NO_RECORD;
    let running: Puller[] = [];
    for (let turn = 0; turn < 500; turn += 1) {
      const { start, remove } = planPrepull({ ...situation, record, running, now: NOW });
      if (start.length === 0 && remove.length === 0) return record;
      for (const { puller, outcomes } of remove) {
        record = recordOutcomes(record, puller.node, outcomes, { now: NOW });
        running = running.filter(({ uid }) => uid !== puller.uid);
      }
      const started = start.map(({ node: name, registry, images }, index) =>
        aPuller({
          uid: `${String(turn)}-${String(index)}`,
          node: name,
          registry,
          digests: images.map(({ digest }) => digest),
        }),
      );
      running.push(...started);
      check(running.filter(({ outcomes }) => outcomes === undefined));
      // The first of those that pull is done.
      const done = running.find(({ outcomes }) => outcomes === undefined);
      const failure = { reason: 'ErrImagePull', message: '' };
      running = running.map((each) =>
        each !== done
          ? each
          : {
              ...each,
              outcomes: each.digests.map((digest) => (succeeds(each.node, digest) ? { digest } : { digest, failure })),
            },
      );
    }
    throw new Error('it does not come to an end');
  }

  it('no bound is exceeded, and nothing is started where it does not belong', () => {
    fc.assert(
      fc.property(nodes, wantedImages, anySettings, fc.func(fc.boolean()), (all, wanted, bounds, succeeds) => {
        const belong = new Map(all.map((each) => [each.name, assessNode(each, wanted, bounds)]));
        run({ nodes: all, wanted, settings: bounds }, succeeds, (pulling) => {
          expect(pulling.length).toBeLessThanOrEqual(bounds.pullsAtOnce);
          expect(new Set(pulling.map((each) => each.node)).size).toBe(pulling.length);
          for (const registry of registries) {
            expect(pulling.filter((each) => each.registry === registry).length).toBeLessThanOrEqual(bounds.perRegistry);
          }
          for (const { node: name, digests, registry } of pulling) {
            expect(digests.length).toBeLessThanOrEqual(IMAGES_PER_POD);
            const images = belong.get(name)?.images.filter(({ digest }) => digests.includes(digest)) ?? [];
            expect(images).toHaveLength(digests.length);
            for (const { reference } of images) expect(reference.startsWith(`${registry}/`)).toBe(true);
          }
        });
      }),
    );
  });

  it('every image ends up on every node where it belongs when pulls succeed', () => {
    fc.assert(
      fc.property(nodes, wantedImages, anySettings, (all, wanted, bounds) => {
        const record = run(
          { nodes: all, wanted, settings: bounds },
          () => true,
          () => undefined,
        );
        for (const each of all) {
          for (const { digest } of assessNode(each, wanted, bounds).images) {
            expect(has(each, digest, record, NOW)).toBe(true);
          }
        }
      }),
    );
  });

  it('a pull that fails is never taken for done', () => {
    fc.assert(
      fc.property(nodes, wantedImages, anySettings, fc.integer({ min: 1, max: 30 }), (all, wanted, bounds, number) => {
        const record = run(
          { nodes: all, wanted, settings: bounds },
          (_node, digest) => digest !== digestOf(number),
          () => undefined,
        );
        for (const each of all) expect(has(each, digestOf(number), record, NOW)).toBe(false);
      }),
    );
  });
});
