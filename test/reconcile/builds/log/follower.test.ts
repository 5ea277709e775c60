import { Readable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { BuildLog } from '../../../../src/reconcile/builds/log/build-log.ts';
import { LogFollower, type LogFollowerOptions } from '../../../../src/reconcile/builds/log/follower.ts';
import { KubeError } from '../../../../src/storage/kubernetes/kube-error.ts';
import { until } from '../../support/until.ts';
import { FakeLog } from '../../../storage/support/fake-log.ts';

const NEVER = new AbortController().signal;
const START = 1_800_000_000_000_000_000n;
const lines = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ at: START + BigInt(index) * 1_000_000n, text: `line ${index + 1}` }));

function aFollower(source: FakeLog, options: Partial<LogFollowerOptions> = {}) {
  const log = new BuildLog('a'.repeat(40), { size: 2 ** 20 });
  const logged: string[] = [];
  let outputs = 0;
  const follower = new LogFollower({
    open: source.open,
    log,
    over: source.over,
    onOutput: () => (outputs += 1),
    logger: pino({ level: 'debug' }, { write: (line: string) => logged.push(line) }),
    ...options,
  });
  return { log, follower, logged, outputs: () => outputs };
}

describe('whoever follows the log of a build', () => {
  it('has every line in it when the container has ended, however the connection fared', async () => {
    const source = new FakeLog();
    source.fates = [500, 3_000, 5_000].map((after) => ({ after, how: 'reset' as const }));
    const { log, follower, outputs } = aFollower(source);
    const done = follower.run(NEVER);
    source.write(...lines(100));
    source.finish();
    await done;
    expect([...log.text()]).toEqual(lines(100).map(({ text }) => text));
    expect([follower.drained, outputs(), log.lines]).toEqual([true, 100, 100]);
  });

  it('has the lines of a container that ended before anybody looked', async () => {
    const source = new FakeLog();
    source.write(...lines(3));
    source.finish();
    const { log, follower } = aFollower(source);
    await follower.run(NEVER);
    expect([...log.text()]).toEqual(['line 1', 'line 2', 'line 3']);
    expect(source.positions.map(({ follow }) => follow)).toEqual([false, false]);
  });

  it('says so in the log when the rest of it cannot be had', async () => {
    const source = new FakeLog();
    source.finish();
    const target = { verb: 'read log of', kind: 'Pod' };
    const failing = (status: number) => () =>
      Promise.reject(new KubeError(target, { status, reason: 'x', message: 'not had' }));
    for (const open of [failing(404), failing(503)]) {
      const { log, follower, logged } = aFollower(source, { open, drainMs: 150 });
      await follower.run(NEVER);
      expect(follower.drained).toBe(false);
      expect([...log.text()]).toEqual(['[The log could not be read to its end.]']);
      expect(logged.join('')).toContain('not had');
    }
  });

  it.each([
    { status: 400, warnings: 0, why: 'the container waits for its start' },
    { status: 503, warnings: 1, why: 'the log cannot be had for some time' },
  ])('warns $warnings times when $why', async ({ status, warnings }) => {
    const source = new FakeLog();
    source.write(...lines(1));
    source.finish();
    let failures = 0;
    const target = { verb: 'read log of', kind: 'Pod' };
    const open: typeof source.open = (...call) => {
      failures += 1;
      if (failures > 5) return source.open(...call);
      return Promise.reject(new KubeError(target, { status, reason: 'x', message: 'not yet' }));
    };
    const { log, follower, logged } = aFollower(source, { open });
    await follower.run(NEVER);
    expect([...log.text()]).toEqual(['line 1']);
    expect(logged.filter((line) => (JSON.parse(line) as { level: number }).level >= 40)).toHaveLength(warnings);
  });

  it.each([
    { what: 'the build, when the log can be read to its end meanwhile', isHeard: true },
    { what: 'nobody, when nothing comes through', isHeard: false },
  ])('counts silence as that of $what', async ({ isHeard }) => {
    const source = new FakeLog();
    const now = { ms: 0 };
    const clock = { now: () => now.ms, monotonic: () => now.ms };
    let connections = 0;
    // Each connection is silent for a second by this clock.
    const open: typeof source.open = ({ follow }) => {
      connections += 1;
      const body = new Readable({
        read: () => undefined,
        destroy(error, done) {
          if (follow || !isHeard) now.ms += 1_000;
          done(error);
        },
      });
      if (!follow && isHeard) body.push(null);
      return Promise.resolve(body);
    };
    const { follower } = aFollower(source, { open, clock, silenceMs: 5 });
    const stop = new AbortController();
    const done = follower.run(stop.signal);
    await until('it was opened some times', () => connections >= (isHeard ? 8 : 4));
    const silent = follower.silentMs;
    stop.abort();
    await done;
    if (isHeard) expect(silent).toBeGreaterThanOrEqual(3_000);
    else expect(silent).toBeLessThanOrEqual(1_000);
  });

  it('stops without a word when it is told to', async () => {
    const source = new FakeLog();
    const { log, follower } = aFollower(source);
    const stop = new AbortController();
    const done = follower.run(stop.signal);
    source.write(...lines(1));
    stop.abort();
    await done;
    expect(follower.drained).toBe(false);
    expect([...log.text()].filter((text) => text.startsWith('['))).toEqual([]);
  });

  it('reports a failure of its own instead of rejecting', async () => {
    const source = new FakeLog();
    source.write(...lines(1));
    source.finish();
    const { follower, logged } = aFollower(source, {
      onOutput: () => {
        throw new Error('broken');
      },
    });
    await follower.run(NEVER);
    expect(follower.drained).toBe(false);
    expect(logged.join('')).toContain('broken');
  });
});
