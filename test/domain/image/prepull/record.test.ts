import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NO_RECORD,
  type PrepullRecord,
  pruneRecord,
  recordOutcomes,
} from '../../../../src/domain/image/prepull/record.ts';
import { parseRecord, writeRecord } from '../../../../src/domain/image/prepull/record-map.ts';
import { untilWindow } from '../../../../src/domain/image/prepull/window.ts';
import { aNode, anImage, digestOf, NOW } from './situations.ts';

const context = { now: NOW, random: () => 1 };
const failure = { reason: 'ErrImagePull', message: 'not found' };
const digest = digestOf(1);
const failures = (record: PrepullRecord) => record.failures.get('node-1')?.get(digest);

describe('the record of pulls', () => {
  it('doubles the time between two attempts, up to an hour, and forgets a failure after a success', () => {
    let record = NO_RECORD;
    const waits = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(() => {
      record = recordOutcomes(record, 'node-1', [{ digest, failure }], context);
      return ((failures(record)?.nextAt ?? 0) - NOW) / 1_000;
    });
    expect(waits).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    expect(failures(record)).toMatchObject({ count: 9, reason: 'ErrImagePull' });
    record = recordOutcomes(record, 'node-1', [{ digest, tookMs: 7 }], context);
    expect(failures(record)).toBeUndefined();
    expect(record.took.get(digest)).toEqual([7]);
  });

  it('drops what the node lists itself, what nobody wants, and what is about a node that is gone', () => {
    const record = ['node-1', 'listed', 'gone'].reduce(
      (before, node) => recordOutcomes(before, node, [{ digest }, { digest: digestOf(2), failure }], context),
      NO_RECORD,
    );
    const nodes = new Map([
      ['node-1', aNode()],
      ['listed', aNode({ name: 'listed', digests: new Set([digest]) })],
    ]);
    const left = pruneRecord(record, nodes, [anImage(1), anImage(2)], NOW);
    expect([...left.pulled.keys()]).toEqual(['node-1']);
    expect([...left.failures.keys()]).toEqual(['node-1', 'listed']);
    expect(pruneRecord(record, nodes, [], NOW)).toEqual(NO_RECORD);
  });

  it('stays within what a ConfigMap takes, with 2,000 nodes that fail differently and 40 images on each', () => {
    const images = Array.from({ length: 40 }, (_, number) => anImage(number));
    const nodes = new Map(
      Array.from({ length: 2_000 }, (_, index) => aNode({ name: `ip-10-0-0-${String(index)}.region.example` })).map(
        (node) => [node.name, node],
      ),
    );
    let record = NO_RECORD;
    for (const name of nodes.keys()) {
      const outcomes = images.map((image, index) =>
        index % 2 === 0
          ? { digest: image.digest, tookMs: 1_000 }
          : { digest: image.digest, failure: { reason: 'ErrImagePull', message: `${name} ${'x'.repeat(500)}` } },
      );
      record = recordOutcomes(record, name, outcomes, context);
    }
    const written = writeRecord(pruneRecord(record, nodes, images, NOW));
    expect(JSON.stringify(written).length).toBeLessThan(1_000_000);
  });

  it('is read as it was written, but for the seconds of pulls', () => {
    const minute = fc.integer({ min: 0, max: 30_000_000 }).map((minutes) => minutes * 60_000);
    const key = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => text !== '__proto__');
    const number = fc.integer({ min: 0, max: 2 ** 50 });
    const failed = fc.record({ reason: fc.string(), message: fc.string(), count: number, at: number, nextAt: number });
    const maps = <T>(value: fc.Arbitrary<T>) =>
      fc
        .array(fc.tuple(key, fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 4 })), { maxLength: 4 })
        .map((all) => new Map(all.map(([node, list]) => [node, new Map(list)])));
    const took = fc.array(fc.tuple(key, fc.array(number))).map((all) => new Map(all));
    fc.assert(
      fc.property(maps(minute), maps(failed), took, (pulled, failedPulls, times) => {
        const record = { pulled, failures: failedPulls, took: times };
        expect(parseRecord({ data: writeRecord(record) })).toEqual(record);
      }),
    );
  });

  it('takes whatever somebody has made of it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(Object.keys(parseRecord({ data: { 'record.json': text } }))).toEqual(['pulled', 'failures', 'took']);
      }),
    );
  });
});

describe('the hours of the day for pulls', () => {
  const window = { before: 9 * 60, timeZone: 'Europe/Berlin', lead: 3_600_000 };
  it.each([
    ['2026-11-30T07:00:00Z', 0],
    ['2026-11-30T06:59:30Z', 30_000],
    ['2026-11-30T07:59:59Z', 0],
    ['2026-11-30T08:00:00Z', 23 * 3_600_000],
    // In summer it is two hours from UTC.
    ['2026-07-01T06:00:00Z', 0],
    ['2026-07-01T05:00:00Z', 3_600_000],
  ])('at %s are %d ms away', (time, expected) => {
    expect(untilWindow(window, Date.parse(time))).toBe(expected);
  });
});
