import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import type { BuildSpec } from '../../../../src/domain/build/build.ts';
import { BuildOperations } from '../../../../src/reconcile/builds/controller/build-operations.ts';
import type { ObservedRun } from '../../../../src/reconcile/builds/executors/executor.ts';
import { LogBudget } from '../../../../src/reconcile/builds/log/log-budget.ts';
import { LogFollowers } from '../../../../src/reconcile/builds/log/followers.ts';
import { runContext } from '../../../../src/util/run-context.ts';
import { FakeLog } from '../../../storage/support/fake-log.ts';
import { until } from '../../support/until.ts';

const START = 1_800_000_000_000_000_000n;

function aFollowing({ failures = 0 } = {}) {
  const source = new FakeLog();
  const now = { ms: 0 };
  const changes: string[] = [];
  let stage: ObservedRun['stage'] = 'running';
  let left = failures;
  const contexts: unknown[] = [];
  const executor = {
    observe: () => ({ stage }) as ObservedRun,
    openLog: (_id: string, ...call: Parameters<typeof source.open>) => {
      contexts.push(runContext.getStore());
      left -= 1;
      return left >= 0 ? Promise.reject(new Error('not now')) : source.open(...call);
    },
  };
  const followers = new LogFollowers({
    logger: pino({ level: 'silent' }),
    onChange: (id) => changes.push(id),
    clock: { now: Date.now, monotonic: () => now.ms },
  });
  const operations = new BuildOperations({ size: 2 ** 20, budget: new LogBudget(2 ** 20) });
  const repository = { provider: 'git', url: 'https://git.example.org/r', ref: 'main', commit: 'c' };
  const spec = { id: 'a', createdAt: 1, repository } as unknown as BuildSpec;
  const operation = operations.resume({ spec, uid: 'u', result: null } as ObservedBuild);
  const stop = new AbortController();
  const running = followers.run(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
  const end = () => {
    stage = 'ended';
    source.finish();
    followers.changed('a');
  };
  const say = (text: string) => source.write({ at: START, text });
  return { source, now, changes, contexts, executor, followers, operation, stop, running, end, say };
}

describe('the followers of logs', () => {
  it('read a log once, to its end, which comes with the change of the run', async () => {
    const { executor, followers, operation, changes, end, say, source } = aFollowing();
    followers.ensure(operation, executor);
    followers.ensure(operation, executor);
    say('one');
    await until('the line is there', () => operation.log.lines === 1);
    expect([operation.following?.isDone, source.connections]).toEqual([false, 1]);
    end();
    await operation.following?.done;
    expect(operation.following?.isDone).toBe(true);
    expect([...operation.log.text()]).toEqual(['one']);
    expect(changes.at(-1)).toBe('a');
  });

  it('go on after the run of a controller in which they were begun', async () => {
    const { executor, followers, operation, contexts, end, say } = aFollowing({ failures: 1 });
    const run = new AbortController();
    runContext.run({ id: 'r', signal: run.signal, mayWrite: () => true }, () => followers.ensure(operation, executor));
    run.abort();
    say('one');
    end();
    await operation.following?.done;
    expect([...operation.log.text()]).toEqual(['one']);
    expect(contexts.length).toBeGreaterThan(1);
    expect(new Set(contexts)).toEqual(new Set([undefined]));
  });

  it('say for how long a log was silent while it could be read, and no longer', async () => {
    const { executor, followers, operation, now, say, source } = aFollowing({ failures: 1 });
    followers.ensure(operation, executor);
    now.ms = 10_000;
    expect([operation.following?.isConnected, operation.following?.silentMs]).toEqual([false, 0]);
    await until('it is connected', () => operation.following?.isConnected);
    now.ms += 5_000;
    expect(operation.following?.silentMs).toBe(5_000);
    say('one');
    await until('the line is there', () => operation.log.lines === 1);
    expect(operation.following?.silentMs).toBe(0);
    now.ms += 7_000;
    expect(operation.following?.silentMs).toBe(7_000);
    expect(source.connections).toBe(1);
  });

  it('read a log anew where it runs now, and forget the reading before it', async () => {
    const { executor, followers, operation, end, say } = aFollowing();
    followers.ensure(operation, executor);
    await until('it is connected', () => operation.following?.isConnected);
    operation.following?.abort.abort();
    operation.following = null;
    followers.ensure(operation, executor);
    await until('it is connected again', () => operation.following?.isConnected);
    say('one');
    end();
    await operation.following!.done;
    expect([...operation.log.text()]).toEqual(['one']);
  });

  it('end with the program, and leave nothing that is read', async () => {
    const { executor, followers, operation, stop, running } = aFollowing();
    followers.ensure(operation, executor);
    await until('it is connected', () => operation.following?.isConnected);
    stop.abort();
    await running;
    await operation.following?.done;
    expect([operation.following?.isDone, operation.following?.isConnected]).toEqual([false, false]);
  });
});
