import { describe, expect, it } from 'vitest';
import { aMap, follow, listOf } from './support/follow.ts';
import type { Answer } from './support/scripted-server.ts';

const STALL: Answer = () => undefined;
const REFUSE: Answer = (exchange) => exchange.status(403, 'Forbidden');
const FIRST_PAGE: Answer = (exchange) =>
  exchange.json({ metadata: { resourceVersion: '7', continue: 'x' }, items: [] });

describe('a reflector that is told to stop', () => {
  it.each([
    ['while it lists', { list: STALL }, 1],
    ['between two pages', { lists: [FIRST_PAGE], list: STALL }, 2],
    ['while it waits for its watch to begin', { watch: STALL }, 2],
    ['while it watches', {}, 2],
    ['while it waits for the next try', { list: REFUSE, minDelayMs: 60_000, maxDelayMs: 60_000 }, 1],
  ])('%s, ends at once and asks no more', async (_when, script, requests) => {
    const { server, client, done, stop, reflector, changes } = await follow(script);
    await expect.poll(() => server.exchanges.length).toBe(requests);
    stop();
    await done;
    await client.close();
    await expect.poll(() => server.openConnections).toBe(0);
    expect(server.exchanges).toHaveLength(requests);
    expect(reflector.lastError === undefined || requests === 1).toBe(true);
    expect(changes).toEqual([]);
  });

  it('before it has begun, asks nothing', async () => {
    const { server, done, stop } = await follow();
    stop();
    await done;
    expect(server.watches).toHaveLength(0);
  });

  it('by its own listener, in the middle of a list, goes no further than that list', async () => {
    const { server, done, stop, reflector } = await follow({
      list: listOf(7, aMap('a', 1)),
      onChange: () => stop(),
    });
    await done;
    expect(server.watches).toHaveLength(0);
    expect(reflector.size).toBe(1);
  });
});

describe('a reflector whose credentials fail', () => {
  it('when it comes back to its watch, tries again until they are there', async () => {
    let breaks = false;
    let failures = 0;
    const { changes, reflector } = await follow({
      list: listOf(7),
      watches: [
        (exchange) => {
          breaks = true;
          exchange.open().event('ADDED', aMap('a', 8)).end();
        },
      ],
      watch: (exchange) => exchange.open().event('ADDED', aMap('b', 9)),
      clientOptions: {
        headers: () => {
          if (!breaks || failures === 1) return Promise.resolve({});
          failures += 1;
          return Promise.reject(new Error('the plugin has no token'));
        },
      },
    });
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/b new']);
    expect(failures).toBe(1);
    expect(reflector.lists).toBe(1);
  });

  it('and hang, tries again after the deadline', async () => {
    let asked = 0;
    const { reflector, server } = await follow({
      list: listOf(7),
      clientOptions: {
        timeoutMs: 200,
        headers: () => {
          asked += 1;
          // The second request is the watch.
          return asked === 2 ? Promise.withResolvers<never>().promise : Promise.resolve({});
        },
      },
    });
    await expect.poll(() => server.watches.length, { timeout: 5_000 }).toBe(1);
    expect(reflector.lists).toBe(1);
  });
});
