import { describe, expect, it } from 'vitest';
import { aMap, follow, listOf } from './support/follow.ts';
import type { Exchange } from './support/scripted-server.ts';

/** A reflector whose watch is in the hands of the test. */
async function followed(...options: Parameters<typeof follow>) {
  const { promise: watch, resolve } = Promise.withResolvers<Exchange>();
  const followed = await follow({ ...options[0], watches: [(exchange) => resolve(exchange.open())] });
  return { ...followed, watch: await watch };
}

describe('an answer to a write of our own', () => {
  it('is read at once, and the watch that tells of it is no news', async () => {
    const { reflector, changes, watch } = await followed({ list: listOf(7) });
    reflector.observe(aMap('a', 8));
    expect(changes).toEqual(['ns/a new']);
    watch.event('ADDED', aMap('a', 8)).event('ADDED', aMap('b', 9));
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/b new']);
  });

  it('that comes later than the watch changes nothing', async () => {
    const { reflector, changes, watch } = await followed({ list: listOf(7) });
    watch.event('ADDED', aMap('a', 8)).event('MODIFIED', aMap('a', 9, { value: 'new' }));
    await expect.poll(() => changes).toHaveLength(2);
    reflector.observe(aMap('a', 8));
    expect(reflector.get('ns/a')?.value).toBe('new');
    expect(changes).toHaveLength(2);
  });

  it('that comes later than its deletion does not bring it back', async () => {
    const { reflector, changes, watch } = await followed({ list: listOf(7) });
    watch.event('ADDED', aMap('a', 8)).event('DELETED', aMap('a', 9));
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/a gone']);
    reflector.observe(aMap('a', 8));
    expect(reflector.get('ns/a')).toBeUndefined();
  });

  it('is not taken for gone by a list that is older', async () => {
    const { reflector, server, watch, changes } = await followed({
      lists: [listOf(7, aMap('gone', 5))],
      list: listOf(9),
    });
    reflector.observe(aMap('a', 12));
    watch.event('ERROR', { code: 410 }).end();
    await expect.poll(() => server.watches.length).toBe(2);
    expect([...reflector.values()]).toMatchObject([{ uid: 'uid-a' }]);
    expect(changes).toEqual(['ns/gone new', 'ns/a new', 'ns/gone gone']);
  });
});

describe('what was deleted for certain', () => {
  it('is gone at once, and stays so whatever the watch still tells of it', async () => {
    const { reflector, changes, watch } = await followed({ list: listOf(7, aMap('a', 3), aMap('b', 3)) });
    reflector.observe(aMap('a', 8));
    reflector.forget('ns/a', 'uid-a');
    const sofar = ['ns/a new', 'ns/b new', 'ns/a changed', 'ns/a gone'];
    expect(changes).toEqual(sofar);
    watch
      .event('MODIFIED', aMap('a', 8))
      .event('MODIFIED', aMap('a', 9, { value: 'by somebody else' }))
      .event('DELETED', aMap('a', 10))
      .event('MODIFIED', aMap('b', 11));
    await expect.poll(() => changes).toEqual([...sofar, 'ns/b changed']);
  });

  it('is not brought back by a list that began before', async () => {
    const { reflector, watch, server } = await followed({
      lists: [listOf(7, aMap('a', 3))],
      list: listOf(9, aMap('a', 9)),
    });
    reflector.forget('ns/a', 'uid-a');
    watch.event('ERROR', { code: 410 }).end();
    await expect.poll(() => server.watches.length).toBe(2);
    expect(reflector.size).toBe(0);
  });

  it('may be made again under the same name', async () => {
    const { reflector, changes, watch } = await followed({ list: listOf(7, aMap('a', 3)) });
    reflector.forget('ns/a', 'uid-a');
    reflector.observe(aMap('a', 11, { uid: 'second' }));
    watch
      .event('DELETED', aMap('a', 10))
      .event('ADDED', aMap('a', 11, { uid: 'second' }))
      .event('ADDED', aMap('b', 12));
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/a gone', 'ns/a new', 'ns/b new']);
    expect(reflector.get('ns/a')?.uid).toBe('second');
  });

  it('is not the object of that name that came after it', async () => {
    const { reflector } = await followed({ list: listOf(7, aMap('a', 3, { uid: 'second' })) });
    reflector.forget('ns/a', 'first');
    reflector.forget('ns/nobody', 'first');
    expect(reflector.get('ns/a')?.uid).toBe('second');
  });
});

describe('what only left the selection', () => {
  it('may come back with the same uid', async () => {
    const { changes, watch } = await followed({ list: listOf(7, aMap('a', 3)) });
    watch.event('DELETED', aMap('a', 8)).event('ADDED', aMap('a', 9));
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/a gone', 'ns/a new']);
  });
});

describe('how old the picture is', () => {
  it('counts from the last thing that the server has said, bookmarks included', async () => {
    const { reflector, watch } = await followed({ list: listOf(7) });
    const quietSince = performance.now();
    await expect.poll(() => performance.now() - quietSince).toBeGreaterThan(100);
    const before = reflector.staleMs;
    expect(before).toBeGreaterThan(100);
    watch.event('BOOKMARK', aMap('', 20));
    await expect.poll(() => reflector.staleMs).toBeLessThan(before);
  });
});
