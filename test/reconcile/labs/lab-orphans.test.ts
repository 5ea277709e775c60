import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { LabTimings } from '../../../src/reconcile/labs/decide.ts';
import type { LabCache } from '../../../src/reconcile/labs/lab-cache.ts';
import { LabOrphans, labOrphansController } from '../../../src/reconcile/labs/lab-orphans.ts';
import type { LabTeardown } from '../../../src/reconcile/labs/lab-teardown.ts';
import type { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { until } from '../support/until.ts';

const GRACE_MS = 60_000;

it('gives a leftover its whole grace period in a new term, also one that was seen in an earlier term', async () => {
  const deleted: string[] = [];
  const client = {
    get: () => Promise.resolve(undefined),
    delete: (_resource: unknown, { name }: { name: string }) => Promise.resolve(deleted.push(name)),
  };
  const namespace = {
    ...{ slug: 'ada', name: 'lab-ada', uid: 'u', resourceVersion: '1', username: 'ada', servername: '' },
    ...{ terminating: false, specHash: null, keptSince: null, permanent: false },
  };
  let looks = 0;
  const observe = () => {
    looks += 1;
    return { intent: undefined, namespace, pod: undefined };
  };
  const cache = {
    name: 'labs',
    synced: Promise.resolve(),
    changes: () => undefined,
    slugs: () => new Set(['ada']),
    observe,
  };
  const clock = { ms: 0, now: () => clock.ms, monotonic: () => clock.ms };
  const logger = pino({ level: 'silent' });
  const shared = { cache: cache as unknown as LabCache, client: client as unknown as KubeClient, logger, clock };
  const timings = { leftoverGrace: GRACE_MS, namespaceRetention: 0, clockSkew: 0 } as LabTimings;
  const adoption = { adopt: () => Promise.resolve(false) };
  const orphans = new LabOrphans({ ...shared, timings, controller: 'hub', teardown: {} as LabTeardown, adoption });
  const controller = labOrphansController(() => orphans, shared.cache, logger);
  const aTerm = async () => {
    const [lost, before] = [new AbortController(), looks];
    const session = { stopping: new AbortController().signal, lost: lost.signal, mayWrite: () => true };
    const term = controller.run(session);
    await until('it was looked at', () => looks > before);
    lost.abort();
    await term;
  };
  await aTerm();
  clock.ms = 2 * GRACE_MS;
  await aTerm();
  expect(deleted).toEqual([]);
});
