import { describe, expect, it } from 'vitest';
import { type WireEvent, METADATA, useApi } from './api.ts';

const api = useApi();

const brief = (events: WireEvent[]) => events.map(({ type, object }) => `${type} ${object.metadata.name}`);
const versionOf = async (path: string) => (await api.get(path)).body.metadata.resourceVersion;

describe('a watch', () => {
  it('sends what changed since a version, in order', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    await api.merge(`${path}/secrets/a`, { metadata: { labels: { x: '1' } } });
    await api.delete(`${path}/secrets/a`);
    const events = await api.watch(`${path}/secrets?watch=true&resourceVersion=${since}`, { count: 3 });
    expect(brief(events)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a']);
    expect(events[0]?.object).toMatchObject({ kind: 'Secret', apiVersion: 'v1' });
    const versions = events.map(({ object }) => Number(object.metadata.resourceVersion));
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    expect(new Set(versions).size).toBe(3);
    // A deletion carries what was there last.
    expect(events[2]?.object.metadata.labels).toEqual({ x: '1' });
  });

  it('sends what happens while it is open', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    const events = api.watch(`${path}/secrets?watch=true&resourceVersion=${since}&timeoutSeconds=20`, { count: 1 });
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    expect(brief(await events)).toEqual(['ADDED a']);
  });

  it('is ended by the server after timeoutSeconds', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    const started = performance.now();
    expect(await api.watch(`${path}/secrets?watch=true&resourceVersion=${since}&timeoutSeconds=1`)).toEqual([]);
    expect(performance.now() - started).toBeGreaterThan(900);
  });

  it('begins with what is there when no version is given, or 0', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    await api.post(`${path}/secrets`, { metadata: { name: 'b' } });
    await api.delete(`${path}/secrets/a`);
    for (const version of ['', '&resourceVersion=0']) {
      expect(brief(await api.watch(`${path}/secrets?watch=true&timeoutSeconds=1${version}`))).toEqual(['ADDED b']);
    }
  });

  it('sees an object come and go that begins and ceases to match its selector', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a', labels: { x: '1' } } });
    const since = await versionOf(`${path}/secrets`);
    await api.merge(`${path}/secrets/a`, { metadata: { labels: { x: '2', y: 'new' } } });
    await api.merge(`${path}/secrets/a`, { metadata: { labels: { x: '1' } } });
    await api.merge(`${path}/secrets/a`, { metadata: { labels: { z: '3' } } });
    const events = await api.watch(`${path}/secrets?watch=true&resourceVersion=${since}&labelSelector=x%3D1`, {
      count: 3,
    });
    expect(brief(events)).toEqual(['DELETED a', 'ADDED a', 'MODIFIED a']);
    // What is sent as deleted is what matched, with the version of the change.
    expect(events[0]?.object.metadata.labels).toEqual({ x: '1' });
    expect(Number(events[0]?.object.metadata.resourceVersion)).toBeGreaterThan(Number(since));
  });

  it('is narrowed by field selectors', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    await api.post(`${path}/secrets`, { metadata: { name: 'b' } });
    const url = `${path}/secrets?watch=true&resourceVersion=${since}&timeoutSeconds=1&fieldSelector=metadata.name%3Db`;
    expect(brief(await api.watch(url))).toEqual(['ADDED b']);
  });

  it('can send metadata only', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    await api.post(`${path}/secrets`, { metadata: { name: 'a' }, stringData: { k: 'v' } });
    const [event] = await api.watch(`${path}/secrets?watch=true&resourceVersion=${since}`, {
      count: 1,
      accept: METADATA,
    });
    expect(event?.object).toMatchObject({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' });
    expect(Object.keys(event?.object ?? {}).sort()).toEqual(['apiVersion', 'kind', 'metadata']);
  });

  it('sends a bookmark before it is ended, when it may and there was something new', async () => {
    const { path } = await api.namespace();
    const since = await versionOf(`${path}/secrets`);
    const address = `${path}/secrets?watch=true&resourceVersion=${since}&allowWatchBookmarks=true&timeoutSeconds=5`;
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    let events = await api.watch(address, { bookmarks: true });
    // They are best effort: a real server that is short of time leaves one out (KEP 956).
    for (let more = 2; more > 0 && events.at(-1)?.type !== 'BOOKMARK'; more -= 1) {
      events = await api.watch(address, { bookmarks: true });
    }
    expect(events.at(-1)).toMatchObject({ type: 'BOOKMARK', object: { kind: 'Secret', apiVersion: 'v1' } });
    expect(Object.keys(events.at(-1)?.object.metadata ?? {}).filter((key) => key !== 'resourceVersion')).toEqual([]);
    expect(Number(events.at(-1)?.object.metadata.resourceVersion)).toBeGreaterThan(Number(since));
  });

  it('sends the whole collection first when asked for initial events, and marks its end', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    const events = await api.watch(
      `${path}/secrets?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=20`,
      { count: 2, bookmarks: true },
    );
    expect(events.map(({ type }) => type)).toEqual(['ADDED', 'BOOKMARK']);
    expect(events[1]?.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
  });

  it('is refused for a version that is no number', async () => {
    const { path } = await api.namespace();
    const { status, body } = await api.get(`${path}/secrets?watch=true&resourceVersion=abc&timeoutSeconds=1`);
    expect(status).toBe(500);
    expect(body.message).toBe(
      'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    );
  });
});
