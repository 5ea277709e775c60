import { describe, expect, it } from 'vitest';
import { aMap, follow, listOf, QUIET } from '../support/follow.ts';
import type { Answer } from '../support/scripted-server.ts';

const CLOSE: Answer = (exchange) => exchange.open().end();
const RESET: Answer = (exchange) => exchange.open().reset();
const EXPIRED_EVENT: Answer = (exchange) =>
  exchange.open().event('ERROR', { kind: 'Status', code: 410, reason: 'Expired' }).end();
const fails =
  (code: number): Answer =>
  (exchange) =>
    exchange.status(code, 'Scripted');

describe('a reflector begins', () => {
  it('with a list, and goes on from its version', async () => {
    const { server, reflector, changes } = await follow({ list: listOf(7, aMap('a', 3), aMap('b', 5)) });
    await reflector.ready;
    expect(changes).toEqual(['ns/a new', 'ns/b new']);
    expect(reflector).toMatchObject({ size: 2, lists: 1, isReady: true, lastError: undefined });
    await expect.poll(() => server.watches.length).toBe(1);
    const query = Object.fromEntries(server.watches[0]?.query ?? []);
    expect(query).toMatchObject({
      resourceVersion: '7',
      allowWatchBookmarks: 'true',
      labelSelector: 'a=b',
      timeoutSeconds: expect.stringMatching(/^(2[4-9]\d|3[0-5]\d|360)$/) as string,
    });
  });

  it('and is ready only with the last page', async () => {
    const { server, reflector } = await follow({
      lists: [
        (exchange) => exchange.json({ metadata: { resourceVersion: '7', continue: 'x' }, items: [aMap('a', 3)] }),
      ],
      list: () => undefined,
    });
    await expect.poll(() => server.lists.length).toBe(2);
    expect(reflector).toMatchObject({ size: 1, isReady: false, lists: 0 });
  });

  it('again and again until a list succeeds, and says meanwhile what is wrong', async () => {
    const { server, reflector } = await follow({
      list: fails(403),
    });
    await expect.poll(() => reflector.lastError).toMatchObject({ status: 403 });
    await expect.poll(() => server.lists.length).toBeGreaterThan(3);
    expect(reflector.isReady).toBe(false);
    expect(server.watches).toHaveLength(0);
  });

  it('without a list of what is there when only news count', async () => {
    const { server, reflector, changes } = await follow({
      watchOnly: true,
      lists: [
        (exchange) => exchange.json({ metadata: { resourceVersion: '9', continue: 'x' }, items: [aMap('old', 3)] }),
      ],
      watches: [(exchange) => exchange.open().event('ADDED', aMap('new', 10))],
    });
    await expect.poll(() => changes).toEqual(['ns/new new']);
    expect(server.lists.map(({ query }) => query.get('limit'))).toEqual(['1']);
    expect(reflector.size).toBe(0);
  });
});

describe('a reflector follows', () => {
  it('what is added, changed and deleted', async () => {
    const { reflector, changes } = await follow({
      list: listOf(7, aMap('a', 3)),
      watch: (exchange) =>
        exchange
          .open()
          .event('MODIFIED', aMap('a', 8, { value: 'w' }))
          .event('ADDED', aMap('b', 9))
          .event('DELETED', aMap('b', 10)),
    });
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/a changed', 'ns/b new', 'ns/b gone']);
    expect([...reflector.values()]).toEqual([{ uid: 'uid-a', resourceVersion: '8', value: 'w' }]);
  });

  it('an object until it is none of ours any more', async () => {
    const { reflector, changes } = await follow({
      project: ({ metadata, data }) =>
        data?.['value'] === 'foreign'
          ? undefined
          : { uid: '', resourceVersion: metadata?.resourceVersion ?? '', value: '' },
      list: listOf(7, aMap('a', 3), aMap('b', 4, { value: 'foreign' })),
      watch: (exchange) =>
        exchange
          .open()
          .event('MODIFIED', aMap('a', 8, { value: 'foreign' }))
          .event('MODIFIED', aMap('b', 9)),
    });
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/a gone', 'ns/b new']);
    expect(reflector.get('ns/a')).toBeUndefined();
  });

  it('on when its listener throws', async () => {
    const seen: string[] = [];
    const { reflector, logged } = await follow({
      list: listOf(7, aMap('a', 3), aMap('b', 4)),
      watch: (exchange) => exchange.open().event('ADDED', aMap('c', 8)),
      onChange: (key) => {
        seen.push(key);
        throw new Error('the listener is broken');
      },
    });
    await expect.poll(() => seen).toEqual(['ns/a', 'ns/b', 'ns/c']);
    expect(reflector.size).toBe(3);
    expect(logged.join()).toContain('the listener is broken');
  });
});

describe('a watch that ends', () => {
  const ends: Record<string, Answer> = {
    'with a reset': RESET,
    'with a reset before the answer': (exchange) => exchange.reset(),
    'by the server closing it': CLOSE,
    'with a 500': fails(500),
    'with a 401': fails(401),
    'with a 429': (exchange) => exchange.status(429, 'TooManyRequests', { 'retry-after': '0' }),
    'with half an event': (exchange) => exchange.open().write('{"type":').end(),
    'with garbage': (exchange) => exchange.open().write('<html>\n'),
    'with an ERROR event': (exchange) => exchange.open().event('ERROR', { code: 500 }).end(),
  };

  it.each(Object.keys(ends))('%s is resumed from the last version, without a list', async (end) => {
    const { server, reflector, changes } = await follow({
      list: listOf(7),
      watches: [
        (exchange) => exchange.open().event('ADDED', aMap('a', 8)).event('BOOKMARK', aMap('', 20)).end(),
        ends[end]!,
        (exchange) => exchange.open().event('ADDED', aMap('b', 21)),
      ],
    });
    await expect.poll(() => changes).toEqual(['ns/a new', 'ns/b new']);
    expect(server.watches.map(({ query }) => query.get('resourceVersion'))).toEqual(['7', '20', '20']);
    expect(reflector).toMatchObject({ lists: 1, lastError: undefined });
  });

  it.each([
    ['an answer', fails(410)],
    ['an event', EXPIRED_EVENT],
  ])('with 410 as %s is followed by a list, at once and compared', async (_what, expired) => {
    const { server, reflector, changes } = await follow({
      minDelayMs: 60_000,
      maxDelayMs: 60_000,
      lists: [listOf(7, aMap('same', 1), aMap('changed', 2), aMap('vanished', 3), aMap('other', 4))],
      watches: [expired],
      list: listOf(9, aMap('same', 1), aMap('changed', 8), aMap('other', 9, { uid: 'second' }), aMap('added', 9)),
    });
    await expect.poll(() => server.watches.length).toBe(2);
    expect(changes.slice(4)).toEqual(['ns/changed changed', 'ns/other changed', 'ns/added new', 'ns/vanished gone']);
    expect(reflector.get('ns/other')?.uid).toBe('second');
    expect(reflector.lists).toBe(2);
    expect(server.watches[1]?.query.get('resourceVersion')).toBe('9');
  });

  it('three times in a row is followed by a list', async () => {
    const { server, reflector } = await follow({ lists: [listOf(7)], watches: [RESET, RESET, RESET], list: listOf(9) });
    await expect
      .poll(() => server.watches.map(({ query }) => query.get('resourceVersion')))
      .toEqual(['7', '7', '7', '9']);
    expect(reflector.lists).toBe(2);
  });

  it('at once, again and again, does not make the reflector hammer', async () => {
    const started = performance.now();
    const { server } = await follow({ watch: CLOSE, minDelayMs: 50, maxDelayMs: 60_000 });
    // Waits of at least 25, 50 and 100 ms lie between the first four watches.
    await expect.poll(() => server.watches.length, { timeout: 5_000 }).toBe(4);
    expect(performance.now() - started).toBeGreaterThan(150);
  });

  it('after a while, quietly, is resumed without a delay and counts as no failure', async () => {
    let first: Answer | undefined = (exchange) => {
      exchange.open();
      setTimeout(() => exchange.end(), 1_050);
    };
    const { server, reflector } = await follow({
      minDelayMs: 60_000,
      maxDelayMs: 60_000,
      watch: (exchange) => {
        (first ?? QUIET)(exchange);
        first = undefined;
      },
    });
    await expect.poll(() => server.watches.length, { timeout: 5_000 }).toBe(2);
    expect(reflector).toMatchObject({ lists: 1, lastError: undefined });
  });

  it('is not resumed before the time that the server asks for', async () => {
    const at: number[] = [];
    await follow({
      watches: [
        (exchange) => {
          at.push(performance.now());
          exchange.status(429, 'TooManyRequests', { 'retry-after': '1' });
        },
      ],
      watch: (exchange) => {
        at.push(performance.now());
        exchange.open();
      },
    });
    await expect.poll(() => at.length, { timeout: 5_000 }).toBe(2);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(998);
  });
});

describe('a watch that is silent', () => {
  it('is given up, resumed, and after three times followed by a list', async () => {
    const { server, reflector } = await follow({ silenceMs: 1_000, lists: [listOf(7)], list: listOf(9) });
    await expect.poll(() => reflector.lists, { timeout: 15_000 }).toBe(2);
    expect(server.watches.slice(0, 3).map(({ query }) => query.get('resourceVersion'))).toEqual(['7', '7', '7']);
  });

  it('goes on failing while the server only says that the next one begins', async () => {
    const failing: number[] = [];
    const silenceMs = 1_000;
    const { reflector } = await follow({
      silenceMs,
      list: listOf(7),
      watch: (exchange) => {
        failing.push(reflector.failingMs);
        exchange.open();
        if (failing.length === 3) exchange.event('BOOKMARK', aMap('', 8));
      },
    });
    await expect.poll(() => failing.length, { timeout: 10_000 }).toBe(3);
    expect(failing[0]).toBe(0);
    // Since the end of the first watch: the second one has been silent for all of its time.
    expect(failing[2]).toBeGreaterThanOrEqual(silenceMs - 1);
    await expect.poll(() => reflector).toMatchObject({ failingMs: 0, lastError: undefined });
  });

  it('before it has even begun is given up, too', async () => {
    const { reflector } = await follow({
      clientOptions: { timeoutMs: 500 },
      lists: [listOf(7)],
      watch: () => undefined,
      list: listOf(9),
    });
    await expect.poll(() => reflector.lastError, { timeout: 5_000 }).toMatchObject({ status: 0 });
    await expect.poll(() => reflector.lists, { timeout: 10_000 }).toBe(2);
  });
});
