import { expect, it } from 'vitest';
import { Changes } from '../../src/util/changes.ts';

it('wakes all who wait for a key, once, and nobody else', async () => {
  const changes = new Changes();
  const never = new AbortController().signal;
  const woken: string[] = [];
  const wait = (key: string, name: string) => changes.next(key, never).then(() => woken.push(name));
  const all = [wait('a', 'first'), wait('a', 'second')];
  void wait('b', 'other');
  changes.notify('a');
  changes.notify('a');
  await Promise.all(all);
  expect(woken).toEqual(['first', 'second']);
  expect(changes.size).toBe(1);
});

it('keeps nothing of those who do not wait any more', async () => {
  const changes = new Changes();
  const stop = new AbortController();
  const waiting = Array.from({ length: 100 }, (_, index) => changes.next(`k${index % 3}`, stop.signal));
  expect(changes.size).toBe(100);
  stop.abort();
  await Promise.all(waiting);
  await changes.next('late', stop.signal);
  expect(changes.size).toBe(0);
});
