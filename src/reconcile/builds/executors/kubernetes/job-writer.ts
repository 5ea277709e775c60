import type { KubernetesObject } from '@kubernetes/client-node';
import {
  buildObjectName,
  type ObservedBuild,
  parseBuild,
  releasePatch,
  suspendPatch,
} from '../../../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import { METADATA_ONLY } from '../../../../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated } from '../../../../storage/kubernetes/kube-error.ts';
import { Jobs, Secrets } from '../../../../storage/kubernetes/resources.ts';
import type { BuildScope } from '../../build-scope.ts';
import type { BuildSecrets } from '../executor.ts';
import type { BuildCache } from './build-cache.ts';

export interface JobWriterOptions extends Pick<BuildScope, 'client' | 'namespace'> {
  readonly cache: BuildCache;
  readonly builder: BuildPodBuilder;
}

/** How often a Job is released when it changes each time. */
const RELEASES = 3;

/** What an executor writes about one Job: its Secret, that it may run, that it may not, that it is to go. */
export class JobWriter {
  readonly #options: JobWriterOptions;

  constructor(options: JobWriterOptions) {
    this.#options = options;
  }

  /**
   * Lets the Job run.
   *
   * @param whatever - whatever else has become of it meanwhile; otherwise only if it is to run still
   */
  async release(job: ObservedBuild, { whatever = false } = {}): Promise<void> {
    const { client, namespace, cache } = this.#options;
    const ref = { namespace, name: job.name };
    let known = job;
    for (let attempt = 1; known.suspended; attempt += 1) {
      try {
        const patch = releasePatch(whatever ? { uid: job.uid } : known);
        cache.observeJob(await client.patch(Jobs, ref, patch));
        return;
      } catch (error) {
        if (!isOutdated(error)) throw error;
        const found = await this.#lookAt(job);
        // Kubernetes itself notes that it is suspended, a moment after it was made.
        if (found === undefined || found.cancel !== null || attempt === RELEASES) throw error;
        known = found;
      }
    }
  }

  /** The Job as it is now; undefined when it is gone or over. */
  async #lookAt({ name, uid, spec }: ObservedBuild): Promise<ObservedBuild | undefined> {
    const { client, namespace, cache } = this.#options;
    const ref = { namespace, name };
    const found = await client.get(Jobs, ref);
    if (found === undefined) cache.forgetJob(spec.id, uid);
    else cache.observeJob(found);
    const build = found && parseBuild(found);
    if (build?.uid !== uid) return undefined;
    if (build.result === null) return build;
    // Another replica has ended it, and may have cleaned up before the Secret was made.
    await this.removeSecret(build);
    return undefined;
  }

  /** Removes the Secret of this very Job; that of any other has the same name, and stays. */
  async removeSecret({ name, uid }: ObservedBuild): Promise<void> {
    const { client, namespace } = this.#options;
    const ref = { namespace, name };
    const found = await client.get(Secrets, ref, METADATA_ONLY);
    if (found?.metadata?.uid === undefined || !isOwnedBy(found, uid)) return;
    await client.delete(Secrets, ref, { uid: found.metadata.uid });
  }

  /** A Secret that is there already is of this Job and the same, or of one before it, which the cluster still collects. */
  async makeSecret(spec: BuildSpec, secrets: BuildSecrets, uid: string): Promise<void> {
    const { client, builder, namespace } = this.#options;
    const secret = builder.buildSecret(spec, secrets, { uid });
    try {
      await client.create(Secrets, secret, METADATA_ONLY);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
      const ref = { namespace, name: buildObjectName(spec.id) };
      const found = await client.get(Secrets, ref, METADATA_ONLY);
      if (found !== undefined && isOwnedBy(found, uid)) return;
      await client.delete(Secrets, ref, { ...(found?.metadata?.uid === undefined ? {} : { uid: found.metadata.uid }) });
      await client.create(Secrets, secret, METADATA_ONLY);
    }
  }

  /** What it owns goes with it. */
  async remove({ name, uid }: ObservedBuild): Promise<void> {
    const { client, namespace } = this.#options;
    await client.delete(Jobs, { namespace, name }, { uid, propagationPolicy: 'Background' });
  }

  async suspend({ name, uid }: ObservedBuild): Promise<void> {
    const { client, namespace, cache } = this.#options;
    try {
      cache.observeJob(await client.patch(Jobs, { namespace, name }, suspendPatch(uid)));
    } catch (error) {
      // Gone, ended, or another by now: there is nothing to hold back.
      if (!isOutdated(error) && !isKubeError(error, 422)) throw error;
    }
  }
}

function isOwnedBy({ metadata }: KubernetesObject, uid: string): boolean {
  return metadata?.ownerReferences?.some((owner) => owner.uid === uid) === true;
}
