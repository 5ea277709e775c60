import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { BuildService } from '../../../src/reconcile/builds/build-service.ts';
import type { Run } from '../../../src/reconcile/controller.ts';
import { ImageBuilds } from '../../../src/reconcile/labs/image-builds.ts';
import type { LabCache } from '../../../src/reconcile/labs/lab-cache.ts';
import type { LabTeardown } from '../../../src/reconcile/labs/lab-teardown.ts';
import { Operations } from '../../../src/reconcile/labs/operations.ts';
import type { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { KubeError } from '../../../src/storage/kubernetes/kube-error.ts';

const SPAWN_MS = 60_000;

it('tries again when the cluster does not answer after a build that took longer than a lab may take to start', async () => {
  const clock = { ms: 0, now: () => clock.ms, monotonic: () => clock.ms };
  const logger = pino({ level: 'silent' });
  const spec = { spawnId: 's', user: { username: 'ada' }, source: {}, image: null, createdAt: 0, deadline: SPAWN_MS };
  const intent = { slug: 'ada', name: 'lab-ada', uid: 'u', spec, build: { id: 'b', commit: 'c' }, deleting: false };
  const failures: unknown[] = [];
  let image: string | null = null;
  const target = { verb: 'patch', kind: 'Secret', namespace: 'hub', name: 'lab-ada' };
  const images = new ImageBuilds({
    ...{ controller: 'hub', logger, clock, operations: new Operations() },
    cache: { intentOf: () => ({ ...intent, failure: null, builtImage: null }) } as unknown as LabCache,
    client: {
      patch: () =>
        Promise.reject(new KubeError(target, { status: 503, reason: 'ServiceUnavailable', message: 'busy' })),
    } as unknown as KubeClient,
    builds: {
      isReady: () => true,
      get: () => ({
        spec: { id: 'b', repository: { commit: 'c' } },
        phase: image === null ? 'building' : 'ready',
        image,
      }),
    } as unknown as BuildService,
    teardown: {
      fail: (_intent: unknown, finding: unknown) => Promise.resolve(failures.push(finding)),
    } as unknown as LabTeardown,
  });
  const run: Run = { signal: new AbortController().signal, id: 'r', logger, clock };
  await images.reconcile('ada', run);
  image = 'registry.example/a@sha256:1';
  clock.ms = 10 * SPAWN_MS;
  expect((await images.reconcile('ada', run)).requeueAfterMs).toBeGreaterThan(0);
  expect(failures).toEqual([]);
  // It does so for as long as a lab may take to start.
  clock.ms += SPAWN_MS;
  await images.reconcile('ada', run);
  expect(failures).toHaveLength(1);
});
