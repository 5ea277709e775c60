import type { V1Job, V1Secret } from '@kubernetes/client-node';
import type { BackendConfig, BuildsConfig } from '../../config/config.ts';
import type { BuildResult, BuildSpec } from '../../domain/build/build.ts';
import type { BuildPlace } from './build-context.ts';
import { buildNamespaceObjects, type BuildNamespaceObjects } from './build-namespace-objects.ts';
import { buildAnnotations, buildMetadata, resultAnnotation } from '../../domain/build/build-intent.ts';
import { buildPodSpec } from './build-pod.ts';
import { type BuildSecrets, secretFiles } from '../../domain/build/build-secrets.ts';
import { encodeSecret } from '../values.ts';

export type { BuildNamespaceObjects } from './build-namespace-objects.ts';

/** Kueue admits a Job with this label (kueue.sigs.k8s.io, "Run a Kubernetes Job"). */
const KUEUE_LABEL = 'kueue.x-k8s.io/queue-name';
/** How much longer the Job lives than its pod: Kubernetes removes the pods, and logs, of a Job that is over its time. */
const SLACK_SECONDS = 60;
/**
 * How much longer Kubernetes keeps a finished Job than Labwright would: its end is only told when the log has been read and the
 * registry has been asked, and a controller that was away wants to find it.
 */
const UNATTENDED_SECONDS = 3_600;

export interface BuildJobOptions {
  /** Its turn has not come. */
  readonly suspend: boolean;
  /** Somebody waits for it until then, milliseconds since the epoch. */
  readonly interestExpiresAt: number;
  /** Name of the node it would best run on, with `placement: sticky`. */
  readonly node?: string | undefined;
}

/** Turns the specification of a build into its Kubernetes objects. Equal input gives equal objects. */
export class BuildPodBuilder {
  readonly #config: BuildsConfig;
  readonly #place: BuildPlace;

  /** @param where - `backend`: that of the executor, where it has one of its own */
  constructor(
    config: BuildsConfig,
    where: { readonly controller: string; readonly namespace: string; readonly backend?: BackendConfig | undefined },
  ) {
    this.#config = config;
    this.#place = { ...where, backend: where.backend ?? config.backend };
  }

  /** The Job of a build: its intent, and what Kubernetes runs. */
  buildJob(spec: BuildSpec, { suspend, interestExpiresAt, node }: BuildJobOptions): V1Job {
    const { pod, queue, deadlines, retention } = this.#config;
    const metadata = buildMetadata(spec, this.#place);
    const labels = { ...pod.labels, ...metadata.labels };
    const kueue = queue.kueue === undefined ? {} : { [KUEUE_LABEL]: queue.kueue.queueName };
    return {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: {
        ...metadata,
        labels: { ...labels, ...kueue },
        annotations: { ...pod.annotations, ...buildAnnotations(spec, interestExpiresAt) },
      },
      spec: {
        suspend,
        backoffLimit: 0,
        completions: 1,
        parallelism: 1,
        activeDeadlineSeconds: Math.ceil(deadlines.total / 1000) + SLACK_SECONDS,
        ttlSecondsAfterFinished: Math.ceil(retention / 1000) + UNATTENDED_SECONDS,
        // One that is being ended is not doubled.
        podReplacementPolicy: 'Failed',
        template: {
          metadata: {
            labels,
            ...(Object.keys(pod.annotations).length === 0 ? {} : { annotations: { ...pod.annotations } }),
          },
          spec: buildPodSpec({ ...this.#place, config: this.#config, spec }, node),
        },
      },
    };
  }

  /** The Job of a build that is over before it began, since its image was there: nobody admits it, and nothing runs. */
  buildFoundJob(spec: BuildSpec, result: BuildResult): V1Job {
    const job = this.buildJob(spec, { suspend: true, interestExpiresAt: 0 });
    const labels = { ...job.metadata?.labels };
    delete labels[KUEUE_LABEL];
    const annotations = { ...job.metadata?.annotations, ...resultAnnotation(result) };
    return { ...job, metadata: { ...job.metadata, labels, annotations } };
  }

  /**
   * What the build is given in secret. It is always there, even empty, since the pod waits for it.
   *
   * @param owner - uid of the Job, with which it goes
   */
  buildSecret(spec: BuildSpec, secrets: BuildSecrets, owner: { readonly uid: string }): V1Secret {
    const metadata = buildMetadata(spec, this.#place);
    const values = secretFiles(secrets);
    const job = { apiVersion: 'batch/v1', kind: 'Job', name: metadata.name ?? '', uid: owner.uid };
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { ...metadata, ownerReferences: [job] },
      type: 'Opaque',
      // The API server writes an empty one back as none.
      ...(Object.keys(values).length === 0 ? {} : { data: encodeSecret(values) }),
    };
  }

  /** What has to be there before the first build. */
  buildNamespaceObjects(): BuildNamespaceObjects {
    return buildNamespaceObjects(this.#config, this.#place);
  }
}
