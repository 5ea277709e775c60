import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { aMap, follow, listOf, QUIET } from './support/follow.ts';
import type { Answer } from './support/scripted-server.ts';

/** What a server tells that was restored from a copy made at version 50, after it had told of version 100. */
const AFTER = listOf(52, aMap('kept', 10), aMap('changed', 51, { value: 'again' }), aMap('added', 52));
const KNOWN = listOf(100, aMap('kept', 10), aMap('changed', 90), aMap('phantom', 99), aMap('replaced', 80));
const EXPIRED: Answer = (exchange) => exchange.status(410, 'Expired');

describe('a reflector of a server that was restored from an older copy', () => {
  it('reads everything anew when a list is older than what it knows', async () => {
    const { reflector, changes, logged } = await follow({ lists: [KNOWN], watches: [EXPIRED], list: AFTER });
    await expect.poll(() => reflector.lists).toBe(2);
    const known = [...reflector.values()].map(({ uid, resourceVersion, value }) => [uid, resourceVersion, value]);
    expect(known.sort()).toEqual([
      ['uid-added', '52', 'v'],
      ['uid-changed', '51', 'again'],
      ['uid-kept', '10', 'v'],
    ]);
    expect(changes.slice(4).sort()).toEqual([
      ...['ns/added new', 'ns/changed changed', 'ns/kept changed', 'ns/phantom gone', 'ns/replaced gone'],
    ]);
    expect(logged.join()).toContain('went back');
  });

  it('follows from there as ever', async () => {
    const { reflector, changes, server } = await follow({
      lists: [KNOWN],
      watches: [
        EXPIRED,
        (exchange) =>
          exchange
            .open()
            .event('MODIFIED', aMap('kept', 53, { value: 'w' }))
            .event('DELETED', aMap('added', 54))
            .event('ADDED', aMap('phantom', 55)),
      ],
      list: AFTER,
    });
    await expect.poll(() => changes.slice(-3)).toEqual(['ns/kept changed', 'ns/added gone', 'ns/phantom new']);
    reflector.observe(aMap('kept', 60, { value: 'x' }));
    expect(reflector.get('ns/kept')?.value).toBe('x');
    reflector.observe(aMap('kept', 59, { value: 'late' }));
    expect(reflector.get('ns/kept')?.value).toBe('x');
    expect(server.watches.map(({ query }) => query.get('resourceVersion'))).toEqual(['100', '52']);
  });

  it('notices it by an event that is older than the one before', async () => {
    const { reflector } = await follow({
      minDelayMs: 60_000,
      maxDelayMs: 60_000,
      lists: [KNOWN],
      watches: [(exchange) => exchange.open().event('ADDED', aMap('added', 52))],
      list: AFTER,
    });
    await expect.poll(() => reflector.lists).toBe(2);
    expect(reflector.size).toBe(3);
  });

  it('notices it by an answer about another object that is older than what it took the place of', async () => {
    const { reflector, server } = await follow({ lists: [KNOWN], list: AFTER, minDelayMs: 60_000, maxDelayMs: 60_000 });
    await expect.poll(() => server.watches.length).toBe(1);
    reflector.observe(aMap('replaced', 52, { uid: 'second' }));
    await expect.poll(() => reflector.lists).toBe(2);
    expect(reflector.get('ns/phantom')).toBeUndefined();
  });

  it('notices it by three silent watches, since such a server says nothing of the future', async () => {
    const { reflector } = await follow({ silenceMs: 1_000, lists: [KNOWN], watch: QUIET, list: AFTER });
    await expect.poll(() => reflector.lists, { timeout: 15_000 }).toBe(2);
    expect(reflector.get('ns/phantom')).toBeUndefined();
    expect(reflector.get('ns/added')).toBeDefined();
  });

  it('reads what is left anew when the first list of it breaks off', async () => {
    const { reflector } = await follow({
      lists: [
        KNOWN,
        (exchange) => exchange.json({ metadata: { resourceVersion: '52', continue: 'x' }, items: [aMap('kept', 10)] }),
        EXPIRED,
      ],
      watches: [EXPIRED],
      list: AFTER,
    });
    await expect.poll(() => reflector.lists).toBe(2);
    expect([...reflector.values()].map(({ uid }) => uid).sort()).toEqual(['uid-added', 'uid-changed', 'uid-kept']);
  });
});
