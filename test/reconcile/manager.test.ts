import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Controller, type ControllerOptions } from '../../src/reconcile/controller.ts';
import type { Cache, Component, Health } from '../../src/reconcile/health.ts';
import type { LeaderElection, Term } from '../../src/reconcile/leader.ts';
import { Manager, type ManagerOptions, type StopOptions } from '../../src/reconcile/manager.ts';
import { runContext } from '../../src/util/run-context.ts';
import { aborted } from '../../src/util/sleep.ts';

let log: { msg: string; [field: string]: unknown }[];
const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(JSON.parse(line) as never) });
/** What has happened, in order. */
let events: string[];

beforeEach(() => {
  log = [];
  events = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

const settled = () => vi.advanceTimersByTimeAsync(0);

function aComponent(name: string, endsAfterMs = 0): Component {
  return {
    name,
    health: () => ({ component: name, ready: true }),
    async run(signal) {
      events.push(`${name} runs`);
      await aborted(signal);
      await new Promise((resolve) => setTimeout(resolve, endsAfterMs));
      events.push(`${name} ended`);
    },
  };
}

function aCache(name: string): Cache & { sync: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { ...aComponent(name), synced: promise, isSynced: false, sync: resolve };
}

/** A controller with one key, whose run lasts until it is told to end. */
function aController(name: string, options: Partial<ControllerOptions> = {}): Controller {
  return new Controller({
    name,
    logger,
    caches: [],
    sources: [],
    keys: () => ['key'],
    reconcile: async (_key, { signal }) => {
      events.push(`${name} runs`);
      await aborted(signal);
      events.push(`${name} ended`);
    },
    ...options,
  });
}

/** An election whose outcome the test decides. */
class Election implements LeaderElection {
  isLeader = false;
  #begin = Promise.withResolvers<void>();
  #lost = new AbortController();
  #holds = false;

  win(): void {
    this.#begin.resolve();
  }

  lose(): void {
    this.#holds = false;
    this.#lost.abort(new DOMException('leadership lost', 'AbortError'));
  }

  /** The lease has expired, and nobody has noticed yet. */
  lapse(): void {
    this.#holds = false;
  }

  health() {
    return { component: 'leader', ready: true };
  }

  async run(signal: AbortSignal, lead: (term: Term) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await Promise.race([this.#begin.promise, aborted(signal)]);
      if (signal.aborted) break;
      this.#begin = Promise.withResolvers<void>();
      this.#lost = new AbortController();
      this.isLeader = this.#holds = true;
      await lead({ lost: this.#lost.signal, holds: () => this.#holds });
      this.isLeader = false;
      events.push('the lease is given up');
    }
  }
}

interface Subject {
  readonly manager: Manager;
  readonly stop: () => void;
  readonly ended: Promise<void>;
  isOver: boolean;
}

function start(manager: Manager, options?: StopOptions): Subject {
  const stopping = new AbortController();
  const ended = manager.run(stopping.signal, options);
  const made: Subject = { manager, stop: () => stopping.abort(), ended, isOver: false };
  void ended.then(() => (made.isOver = true));
  return made;
}

const aManager = (options: Partial<ManagerOptions> = {}) => new Manager({ logger, ...options });

describe('the manager', () => {
  it('runs caches and components at once, and controllers when their caches are synced', async () => {
    const cache = aCache('cache');
    const manager = aManager()
      .addCache(cache)
      .addComponent(aComponent('component'))
      .addController(aController('controller', { caches: [cache] }));
    const it = start(manager);
    await settled();
    expect(events).toEqual(['cache runs', 'component runs']);
    cache.sync();
    await settled();
    expect(events.at(-1)).toBe('controller runs');
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(it.isOver).toBe(true);
  });

  it('always leads without an election', async () => {
    const manager = aManager().addController(aController('labs'));
    const it = start(manager);
    await settled();
    expect([manager.isLeader, events]).toEqual([true, ['labs runs']]);
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    await it.ended;
  });

  it('runs what needs a leader while it leads, and the rest all the time', async () => {
    const election = new Election();
    const manager = aManager({ election }).addController(
      aController('led'),
      aController('everywhere', { needsLeader: false }),
    );
    const it = start(manager);
    await settled();
    expect([events, manager.isLeader]).toEqual([['everywhere runs'], false]);
    election.win();
    await settled();
    election.lose();
    await settled();
    expect(events).toEqual(['everywhere runs', 'led runs', 'led ended', 'the lease is given up']);
    election.win();
    await settled();
    expect([events.at(-1), manager.isLeader]).toEqual(['led runs', true]);
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    await it.ended;
  });

  it('lets a run write nothing once the lease has expired, before anybody has noticed', async () => {
    const election = new Election();
    const may: boolean[] = [];
    const { promise: paused, resolve: wake } = Promise.withResolvers<void>();
    const reconcile = async () => {
      may.push(runContext.getStore()!.mayWrite());
      await paused;
      may.push(runContext.getStore()!.mayWrite());
    };
    const it = start(aManager({ election }).addController(aController('led', { reconcile })));
    election.win();
    await settled();
    election.lapse();
    wake();
    await settled();
    expect(may).toEqual([true, false]);
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    await it.ended;
  });

  it('stops in order: what leads, the lease, what serves readers, then caches and components', async () => {
    const { promise: served, resolve: close } = Promise.withResolvers<void>();
    const election = new Election();
    const manager = aManager({ election })
      .addCache(aCache('cache'))
      .addComponent(aComponent('component'))
      .addController(aController('led'), aController('everywhere', { needsLeader: false }));
    const it = start(manager, { served });
    election.win();
    await settled();
    events = [];
    it.stop();
    // Leadership is handed over while somebody is still served.
    await vi.advanceTimersByTimeAsync(2_000);
    expect(events).toEqual(['led ended', 'the lease is given up']);
    close();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(events.slice(2)).toEqual(['everywhere ended', 'cache ended', 'component ended']);
    expect([it.isOver, log]).toEqual([true, []]);
  });

  it('waits no longer than the grace, and names what has not ended', async () => {
    const { promise: never } = Promise.withResolvers<void>();
    const election = new Election();
    const manager = aManager({ election })
      .addComponent(aComponent('slow', 60_000))
      .addController(
        aController('stuck', { reconcile: () => never }),
        aController('fine'),
        aController('stuck too', { needsLeader: false, reconcile: () => never }),
      );
    const it = start(manager, { graceMs: 10_000 });
    election.win();
    await settled();
    it.stop();
    await vi.advanceTimersByTimeAsync(9_900);
    expect(it.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    expect(it.isOver).toBe(true);
    const running = expect.arrayContaining(['slow', 'stuck', 'stuck too', 'leader']) as unknown;
    expect(log).toMatchObject([{ msg: 'stopped before everything had ended', running }]);
    expect(log[0]?.['running']).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(60_000);
  });

  it('does not give the lease up while a run of its goes on', async () => {
    const { promise: held, resolve: finish } = Promise.withResolvers<void>();
    const election = new Election();
    const it = start(aManager({ election }).addController(aController('led', { reconcile: () => held })));
    election.win();
    await settled();
    it.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(events).toEqual([]);
    finish();
    await vi.advanceTimersByTimeAsync(1_000);
    expect([events, it.isOver]).toEqual([['the lease is given up'], true]);
  });

  it('stops when serving ends with an error, too', async () => {
    const it = start(aManager().addComponent(aComponent('component')), {
      served: Promise.reject(new Error('a fault')),
    });
    await settled();
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect([it.isOver, events.at(-1)]).toEqual([true, 'component ended']);
  });

  it.each([
    [
      'at once',
      () => {
        throw new Error('a fault');
      },
    ],
    ['later', () => Promise.reject(new Error('a fault'))],
  ])('tells of a part that ends by itself %s, once, and lets the others go on', async (_when, run) => {
    const failures: string[] = [];
    const manager = aManager({ onFailure: (name) => void failures.push(name) })
      .addComponent({ ...aComponent('broken'), run }, { ...aComponent('broken too'), run })
      .addController(aController('labs'));
    const it = start(manager);
    await settled();
    expect([failures, events]).toEqual([['broken'], ['labs runs']]);
    expect(log[0]).toMatchObject({ component: 'broken', err: { message: 'a fault' }, level: 60 });
    expect(manager.health()).toContainEqual({ component: 'broken', ready: false, message: 'It has ended: a fault' });
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(it.isOver).toBe(true);
  });

  it('reports the health of each part, caches first', () => {
    const manager = aManager()
      .addController(aController('labs'))
      .addComponent(aComponent('component'))
      .addCache(aCache('cache'));
    expect(manager.health().map(({ component }) => component)).toEqual(['cache', 'component', 'leader', 'labs']);
  });

  it('says once that a cache cannot follow the cluster, why, and when that is over', async () => {
    const error = new Error('no rights');
    const stale = { ms: 16_000, why: 'watch Pod: 403 Forbidden', error };
    let health: Health = { component: 'cache', ready: true, staleMs: 10 };
    const manager = aManager().addCache({ ...aCache('cache'), health: () => health });
    const it = start(manager);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(log).toEqual([]);
    for (let round = 0; round < 2; round += 1) {
      health = { ...health, stale };
      await vi.advanceTimersByTimeAsync(10_000);
      health = { component: 'cache', ready: true };
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(log.map(({ level, component, why }) => [level, component, why])).toEqual([
      [40, 'cache', 'watch Pod: 403 Forbidden'],
      [30, 'cache', undefined],
      [40, 'cache', 'watch Pod: 403 Forbidden'],
      [30, 'cache', undefined],
    ]);
    expect(log[0]).toMatchObject({ staleMs: 16_000, err: { message: 'no rights' } });
    it.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    await it.ended;
  });

  it('takes no two parts of one name', () => {
    const manager = aManager().addController(aController('labs'));
    expect(() => manager.addComponent(aComponent('labs'))).toThrow('there are two components called labs');
  });
});
