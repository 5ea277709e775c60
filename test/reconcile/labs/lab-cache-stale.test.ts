import { pino } from 'pino';
import { expect, it, onTestFinished, vi } from 'vitest';
import '../../support/leaks.ts';
import { LabCache } from '../../../src/reconcile/labs/lab-cache.ts';
import { startScripted } from '../../storage/support/client.ts';
import type { Exchange } from '../../storage/support/scripted-server.ts';

const MINUTE = 60_000;

/** A cache that has been synced, of a cluster in which `fails` answers the watches of pods. */
async function startCache(fails: (exchange: Exchange) => void) {
  const { server, client } = await startScripted();
  server.otherwise = (exchange) => {
    if (exchange.isWatch && exchange.path.endsWith('/pods')) fails(exchange);
    else if (exchange.isWatch) exchange.open();
    else exchange.json({ metadata: { resourceVersion: '7' }, items: [] });
  };
  const cache = new LabCache({ client, controller: 'labwright', logger: pino({ level: 'silent' }) });
  const stop = new AbortController();
  const done = cache.run(stop.signal);
  onTestFinished(async () => {
    vi.restoreAllMocks();
    stop.abort();
    await done;
  });
  await cache.synced;
  return { server, cache };
}

function later(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + ms);
}

it('a cache whose watch of pods is refused from now on says since when and why, and stays ready', async () => {
  const { cache } = await startCache((exchange) => exchange.status(403, 'Forbidden'));
  await expect.poll(() => cache.lastError).toMatchObject({ status: 403 });
  expect(cache.staleness).toBeUndefined();
  later(MINUTE);
  const stale = { why: 'watch Pod: 403 Forbidden', error: { status: 403 } };
  await expect.poll(() => cache.staleness).toMatchObject(stale);
  expect(cache.health()).toMatchObject({ ready: true, stale });
  expect(cache.staleness?.ms).toBeGreaterThan(MINUTE / 2);
});

it('a cache that follows the cluster is not stale, however long nothing happens there', async () => {
  const { server, cache } = await startCache((exchange) => void exchange.open());
  await expect.poll(() => server.watches.length).toBe(4);
  later(MINUTE);
  expect(cache.health()).toMatchObject({ ready: true, stale: undefined, message: undefined });
  expect(cache.staleness).toBeUndefined();
});
