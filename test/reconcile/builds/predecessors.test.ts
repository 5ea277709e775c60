import type { V1Job } from '@kubernetes/client-node';
import { expect, it } from 'vitest';
import { BuildPodBuilder } from '../../../src/builder/build/build-pod-builder.ts';
import { type ObservedBuild, parseBuild } from '../../../src/domain/build/build-intent.ts';
import { Predecessors } from '../../../src/reconcile/builds/predecessors.ts';
import type { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { KubeError } from '../../../src/storage/kubernetes/kube-error.ts';
import { Changes } from '../../../src/util/changes.ts';
import { aBuildSpec, buildsConfig } from '../../builder/build/build-cases.ts';

it('joins the build that another replica has begun in place of the one that both were about to remove', async () => {
  const spec = aBuildSpec();
  const builder = new BuildPodBuilder(buildsConfig(), { controller: 'hub', namespace: 'hub-builds' });
  const failed = { status: 'failed', reason: 'BuildFailed', message: 'No.', at: spec.createdAt + 1 } as const;
  const versioned = (job: V1Job, uid: string) => ({ ...job, metadata: { ...job.metadata, uid, resourceVersion: uid } });
  const over = versioned(builder.buildFoundJob(spec, failed), '1');
  const next = versioned(builder.buildJob(spec, { suspend: true, interestExpiresAt: 0 }), '2');
  const [jobChanges, releases] = [new Changes(), new Changes()];
  let known: ObservedBuild | undefined;
  const observeJob = (job: V1Job) => {
    known = parseBuild(job);
    jobChanges.notify(spec.id);
  };
  const client = {
    get: () => Promise.resolve(over),
    delete() {
      // The watch tells of the new Job a moment after the API server has refused to delete it for the old one.
      setTimeout(() => observeJob(next), 10);
      const target = { verb: 'delete', kind: 'Job', namespace: 'hub-builds', name: 'build' };
      return Promise.reject(new KubeError(target, { status: 409, reason: 'Conflict', message: 'another uid' }));
    },
  };
  const predecessors = new Predecessors({
    client: client as unknown as KubeClient,
    namespace: 'hub-builds',
    cache: { job: () => known, observeJob, forgetJob: () => undefined, jobChanges },
    slotStore: { find: () => undefined, releases },
  });
  expect((await predecessors.wait(spec, 5_000))?.uid).toBe('2');
});
