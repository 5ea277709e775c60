import type { CoreV1Event, V1Job, V1Pod } from '@kubernetes/client-node';
import {
  BUILD_LABEL,
  buildObjectName,
  buildSelector,
  type ObservedBuild,
  parseBuild,
} from '../../../../domain/build/build-intent.ts';
import { BUILD_SERVICE_ACCOUNT } from '../../../../domain/build/build-service-account.ts';
import { BUILD_SUBJECT, type PodRun, runOfPod } from '../../../../domain/build/build-run.ts';
import { isQueued } from '../../../../domain/build/build-queue.ts';
import { findEventTrouble, type Trouble } from '../../../../domain/lab/reasons.ts';
import { type Cached, Reflector } from '../../../../storage/kubernetes/reflector.ts';
import { Events, Jobs, Pods } from '../../../../storage/kubernetes/resources.ts';
import { type Cache, type Health, type Staleness, stalenessOf } from '../../../health.ts';
import { Changes } from '../../../../util/changes.ts';
import { podFacts } from '../../../labs/observe.ts';
import type { BuildScope } from '../../build-scope.ts';
import { findJobCondition } from './job-condition.ts';

/** What is kept of the pod of a build. */
export interface ObservedBuildPod extends Cached, PodRun {
  readonly id: string;
  readonly name: string;
  /** Of the Job that made it. */
  readonly jobUid: string;
  readonly terminating: boolean;
}

export interface BuildCacheOptions extends Omit<BuildScope, 'config'> {
  /** Something about this build has changed. */
  readonly onChange: (id: string) => void;
  /** The account that pods of builds run as was found missing. */
  readonly onAccountMissing?: () => void;
  /** In the log and in health. */
  readonly name?: string;
}

interface SeenEvent extends Cached {
  readonly event: CoreV1Event;
}

/** The events that complain about a build are forgotten with it; this many are remembered at most. */
const TROUBLES = 2_000;
const ACCOUNT_MISSING = new RegExp(`serviceaccount "${BUILD_SERVICE_ACCOUNT}" not found`);

/**
 * The builds of one cluster as they are there: three watches, however many builds there are. It is synced with Jobs and
 * pods; events only say why something takes long.
 */
export class BuildCache implements Cache {
  readonly name: string;
  readonly synced: Promise<void>;
  /** By id of the build: its Job has changed, has come or is gone. */
  readonly jobChanges = new Changes();
  readonly #options: BuildCacheOptions;
  readonly #jobs: Reflector<V1Job, ObservedBuild>;
  readonly #pods: Reflector<V1Pod, ObservedBuildPod>;
  readonly #events: Reflector<CoreV1Event, SeenEvent>;
  /** Keys of pods by build. */
  readonly #podsOf = new Map<string, Set<string>>();
  /** What events complain of, by the uid of what they are about. */
  readonly #troubles = new Map<string, Trouble>();
  #queueVersion = 0;

  constructor(options: BuildCacheOptions) {
    this.#options = options;
    this.name = options.name ?? 'build-cache';
    const { client, controller, namespace, logger } = options;
    const shared = { client, logger };
    const select = { namespace, labelSelector: buildSelector(controller) };
    this.#jobs = new Reflector<V1Job, ObservedBuild>({
      ...shared,
      resource: Jobs,
      select,
      project: parseBuild,
      onChange: (_key, now, before) => {
        if (queuedUid(now) !== queuedUid(before)) this.#queueVersion += 1;
        const { id } = (now ?? before)?.spec ?? {};
        if (id !== undefined) this.jobChanges.notify(id);
        this.#changed(id);
      },
    });
    this.#pods = new Reflector<V1Pod, ObservedBuildPod>({
      ...shared,
      resource: Pods,
      select,
      project: observeBuildPod,
      onChange: (key, now, before) => {
        this.#index(key, now, before);
        this.#changed((now ?? before)?.id);
      },
    });
    this.#events = new Reflector<CoreV1Event, SeenEvent>({
      ...shared,
      resource: Events,
      select: { namespace },
      watchOnly: true,
      project: (event) => ({ uid: '', resourceVersion: '', event }),
      onChange: (_key, now) => {
        if (now !== undefined) this.#hear(now.event);
      },
    });
    this.synced = Promise.all([this.#jobs.ready, this.#pods.ready]).then(() => undefined);
  }

  get isSynced(): boolean {
    return this.#jobs.isReady && this.#pods.isReady;
  }

  get lastError(): Error | undefined {
    return this.#jobs.lastError ?? this.#pods.lastError;
  }

  health(): Health {
    const failing = this.lastError ?? this.#events.lastError;
    return {
      component: this.name,
      ready: this.isSynced,
      message: failing === undefined ? undefined : 'A watch of Jobs, pods or events of builds fails.',
      staleMs: Math.max(this.#jobs.staleMs, this.#pods.staleMs),
      stale: stalenessOf([this.#jobs, this.#pods, this.#events]),
    };
  }

  /** How old what is known of builds is, where that cannot be followed; events only explain. */
  get staleness(): Staleness | undefined {
    return stalenessOf([this.#jobs, this.#pods]);
  }

  /** Follows the cluster until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#jobs.run(signal), this.#pods.run(signal), this.#events.run(signal)]);
  }

  /** Grows whenever a build begins or ceases to wait for its slot. */
  get queueVersion(): number {
    return this.#queueVersion;
  }

  jobs(): IterableIterator<ObservedBuild> {
    return this.#jobs.values();
  }

  job(id: string): ObservedBuild | undefined {
    return this.#jobs.get(this.#jobKey(id));
  }

  /** The pod of this Job; one that a Job before it has left behind is another. */
  pod(id: string, jobUid: string): ObservedBuildPod | undefined {
    const pods = [...(this.#podsOf.get(id) ?? [])].map((key) => this.#pods.get(key));
    return pods.find((pod) => pod?.jobUid === jobUid);
  }

  /** Names of the nodes that builds run or ran on, as far as their pods are still there. */
  nodes(): string[] {
    return [...new Set([...this.#pods.values()].flatMap(({ node }) => node ?? []))];
  }

  /** What events complain of about the Job or its pod. */
  trouble(...uids: readonly string[]): Trouble | null {
    return uids.map((uid) => this.#troubles.get(uid)).find((trouble) => trouble !== undefined) ?? null;
  }

  /** Asks for the pods of a build: their watch may be behind that of Jobs. */
  async lookAgain(id: string): Promise<void> {
    const { client, controller, namespace } = this.#options;
    const labelSelector = `${buildSelector(controller)},${BUILD_LABEL}=${id}`;
    const { items } = await client.list(Pods, { namespace, labelSelector });
    for (const pod of items) this.#pods.observe(pod);
  }

  /** Takes the answer of a write of our own into the cache. */
  observeJob(job: V1Job): void {
    this.#jobs.observe(job);
  }

  forgetJob(id: string, uid: string): void {
    this.#jobs.forget(this.#jobKey(id), uid);
  }

  #jobKey(id: string): string {
    return `${this.#options.namespace}/${buildObjectName(id)}`;
  }

  #changed(id: string | undefined): void {
    if (id !== undefined && this.isSynced) this.#options.onChange(id);
  }

  #index(key: string, now: ObservedBuildPod | undefined, before: ObservedBuildPod | undefined): void {
    const id = (now ?? before)?.id ?? '';
    const keys = this.#podsOf.get(id) ?? new Set();
    if (now === undefined) {
      keys.delete(key);
      this.#troubles.delete(before?.uid ?? '');
    } else keys.add(key);
    if (keys.size === 0) this.#podsOf.delete(id);
    else this.#podsOf.set(id, keys);
  }

  #hear({ type, reason = '', message = '', involvedObject }: CoreV1Event): void {
    const { kind, uid, name = '' } = involvedObject;
    if (type === 'Normal' || uid === undefined) return;
    const trouble =
      kind === 'Job' ? findJobCondition(reason, message) : findEventTrouble(reason, message, BUILD_SUBJECT);
    if (trouble === undefined) return;
    this.#troubles.set(uid, trouble);
    if (kind === 'Job' && ACCOUNT_MISSING.test(message)) this.#options.onAccountMissing?.();
    if (this.#troubles.size > TROUBLES) this.#troubles.delete(this.#troubles.keys().next().value ?? '');
    // `build-<id>` and what the Job controller appends for a pod.
    this.#changed(/^build-([0-9a-f]{40})(?:-|$)/.exec(name)?.[1]);
  }
}

/** Uid of the Job of a build that is queued. */
function queuedUid(build: ObservedBuild | undefined): string | undefined {
  return build !== undefined && isQueued(build) ? build.uid : undefined;
}

function observeBuildPod(pod: V1Pod): ObservedBuildPod | undefined {
  const { metadata } = pod;
  const id = metadata?.labels?.[BUILD_LABEL];
  if (metadata?.name === undefined || id === undefined) return undefined;
  return {
    id,
    name: metadata.name,
    uid: metadata.uid ?? '',
    resourceVersion: metadata.resourceVersion ?? '',
    jobUid: metadata.ownerReferences?.find(({ kind }) => kind === 'Job')?.uid ?? '',
    terminating: metadata.deletionTimestamp !== undefined,
    ...runOfPod(podFacts(pod)),
  };
}
