import { describe, expect, it } from 'vitest';
import { configMaps } from '../../sandbox/kinds/config-maps.ts';
import { secrets } from '../../sandbox/kinds/secrets.ts';
import type { KubeObject } from '../../sandbox/objects.ts';
import { type Change, Store, TooOld } from '../../sandbox/store.ts';

function aConfigMap(name: string, namespace = 'a', data: object = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

const names = (entries: readonly (readonly [string, KubeObject])[]) => entries.map(([, { metadata }]) => metadata.name);

describe('the store', () => {
  it('counts one version over all kinds', () => {
    const store = new Store(100);
    const first = store.add(configMaps, aConfigMap('a'));
    const second = store.add(secrets, { ...aConfigMap('a'), kind: 'Secret' });
    expect(Number(second.metadata.resourceVersion)).toBe(Number(first.metadata.resourceVersion) + 1);
    expect(store.version).toBe(Number(second.metadata.resourceVersion));
  });

  it('lists in the order of the keys in which a server stores them', () => {
    const store = new Store(100);
    // In a path `-` comes before `/`: the namespace `a-b` before all of `a`.
    for (const [name, namespace] of [
      ['y', 'a'],
      ['x', 'b'],
      ['z', 'a-b'],
      ['x', 'a'],
    ] as const) {
      store.add(configMaps, aConfigMap(name, namespace));
    }
    const keys = store.sorted(configMaps, '', store.version).map(([key]) => key);
    expect(keys).toEqual(['/a-b/z', '/a/x', '/a/y', '/b/x']);
  });

  it('knows what a collection was at an earlier version', () => {
    const store = new Store(100);
    const kept = store.add(configMaps, aConfigMap('changed', 'a', { k: 'before' }));
    const gone = store.add(configMaps, aConfigMap('gone'));
    const then = store.version;
    store.update(configMaps, { ...kept, data: { k: 'after' } }, kept);
    store.remove(configMaps, gone);
    store.add(configMaps, aConfigMap('new'));
    store.add(configMaps, aConfigMap('elsewhere', 'b'));
    const before = store.sorted(configMaps, 'a', then);
    expect(names(before)).toEqual(['changed', 'gone']);
    expect(before[0]?.[1]['data']).toEqual({ k: 'before' });
    expect(names(store.sorted(configMaps, 'a', store.version))).toEqual(['changed', 'new']);
    expect(names(store.sorted(configMaps, '', then))).toEqual(['changed', 'gone']);
  });

  it('tells what changed since a version, as far back as its history goes', () => {
    const store = new Store(3);
    const versions: number[] = [store.version];
    for (let n = 0; n < 20; n += 1) {
      store.add(configMaps, aConfigMap(`n${String(n)}`));
      versions.push(store.version);
      const known = Math.min(n + 1, 3);
      const oldest = versions.at(-1 - known) ?? 0;
      expect(store.since(configMaps, oldest)).toHaveLength(known);
      expect(store.since(configMaps, store.version)).toHaveLength(0);
      if (n >= 3) expect(() => store.since(configMaps, oldest - 1)).toThrow(TooOld);
    }
  });

  it('keeps the history of each kind apart', () => {
    const store = new Store(3);
    store.add(secrets, { ...aConfigMap('a'), kind: 'Secret' });
    const then = store.version;
    for (let n = 0; n < 20; n += 1) store.add(configMaps, aConfigMap(`n${String(n)}`));
    expect(store.since(secrets, then)).toEqual([]);
  });

  it('forgets everything before a compaction', () => {
    const store = new Store(100);
    store.add(configMaps, aConfigMap('a'));
    const then = store.version;
    store.add(configMaps, aConfigMap('b'));
    store.compact();
    expect(() => store.since(configMaps, then)).toThrow(TooOld);
    expect(store.since(configMaps, store.version)).toEqual([]);
    expect(names(store.sorted(configMaps, '', store.version))).toEqual(['a', 'b']);
  });

  it('tells its listeners of each change until they leave', () => {
    const store = new Store(100);
    const seen: Change[] = [];
    const leave = store.subscribe(configMaps, (change) => seen.push(change));
    const made = store.add(configMaps, aConfigMap('a'));
    store.update(configMaps, made, made);
    store.remove(configMaps, made);
    leave();
    store.add(configMaps, aConfigMap('b'));
    expect(seen.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
  });
});
