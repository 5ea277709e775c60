import { randomBytes } from 'node:crypto';
import { BuildPodBuilder } from '../../src/builder/build/build-pod-builder.ts';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Jobs, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { inFlight } from '../in-flight.ts';
import type { Site } from './site.ts';

const DEADLINE_MS = 600_000;

/**
 * The same Jobs and Secrets made by a bare loop: it resolves nothing, reads no log and asks no registry, and begins the
 * next one when a container has ended. No controller that makes these objects can be faster by much.
 *
 * @returns milliseconds from the first create until the API showed that the last container had ended
 */
export async function runFloor(
  client: KubeClient,
  site: Site,
  scripts: readonly string[],
  bound: number,
): Promise<number> {
  const { config } = site;
  const builder = new BuildPodBuilder(config, { controller: 'bare-loop', namespace: site.builds });
  const start = Date.now();
  await inFlight(bound, scripts, async (script) => {
    const { repository: url, commit } = site.question(script);
    const key = randomBytes(32).toString('hex');
    const id = key.slice(0, 40);
    const spec = {
      ...{ id, key, path: '', requestedBy: 'floor', detached: true, createdAt: start },
      repository: { provider: 'git' as const, url, ref: commit, commit, binderSlug: '' },
      image: `${config.registry.host}/${site.namespace}/floor:${id}`,
    };
    const job = await client.create(Jobs, builder.buildJob(spec, { suspend: false, interestExpiresAt: start }));
    const uid = job.metadata?.uid ?? '';
    await client.create(Secrets, builder.buildSecret(spec, { dockerConfig: null, git: {} }, { uid }));
    const seen = site.observer.get(id);
    await site.observer.until(`the floor's ${script}`, () => seen.terminated !== undefined, DEADLINE_MS);
  });
  return Date.now() - start;
}
