import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isEqualWhereGiven } from '../../../../src/reconcile/labs/objects/is-equal.ts';

describe('an object that is there', () => {
  const wanted = {
    metadata: { labels: { a: '1' } },
    data: { passwd: 'x' },
    spec: { ports: [{ port: 80 }], podSelector: {}, hard: { cpu: '1' }, ingress: [] },
  };
  const found = {
    metadata: { uid: 'u', labels: { a: '1', b: '2' }, managedFields: [] },
    data: { passwd: 'x' },
    spec: { ports: [{ port: 80, protocol: 'TCP' }], podSelector: {}, hard: { cpu: '1' }, type: 'ClusterIP' },
    status: {},
  };

  it('is as wanted whatever the API server has added to it', () => {
    expect(isEqualWhereGiven(wanted, found)).toBe(true);
  });

  it.each([
    ['a value differs', { data: { passwd: 'y' } }],
    ['a value is missing', { metadata: {} }],
    ['there is more data', { data: { passwd: 'x', more: 'y' } }],
    ['there is no data', { data: undefined }],
    ['an entry is missing', { spec: { ...found.spec, ports: [] } }],
    ['there is an entry more', { spec: { ...found.spec, ports: [{ port: 80 }, { port: 81 }] } }],
    ['there is an entry where none is wanted', { spec: { ...found.spec, ingress: [{}] } }],
    ['it selects less', { spec: { ...found.spec, podSelector: { matchLabels: { a: 'b' } } } }],
    ['it limits more', { spec: { ...found.spec, hard: { cpu: '1', memory: '1' } } }],
    ['it is of another shape', { spec: 'x' }],
  ])('is not as wanted when %s', (_why, change) => {
    expect(isEqualWhereGiven(wanted, { ...found, ...change })).toBe(false);
  });

  it('is always equal to itself, and not to itself with a value changed', () => {
    // What an API server sends is JSON: no NaN, which equals nothing.
    const objects = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(fc.property(objects, (object) => isEqualWhereGiven(object, structuredClone(object))));
    fc.assert(fc.property(objects, (object) => !isEqualWhereGiven({ ...object, a: 1 }, { ...object, a: 2 })));
  });
});
