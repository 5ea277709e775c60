import type { Logger } from 'pino';
import { cleanedPatch, failurePatch, parseSecrets } from '../builder/intent.ts';
import type { LabBuilder } from '../builder/lab-builder.ts';
import { endStatus } from '../builder/lab-state.ts';
import {
  intentName,
  KEPT_SINCE_ANNOTATION,
  POD_NAME,
  RETAIN_LABEL,
  SPEC_HASH_ANNOTATION,
} from '../builder/object-names.ts';
import type { LabConfig } from '../config/config.ts';
import type { LabSecrets, LabSpec } from '../domain/lab.ts';
import { currentPod, type ObservedIntent, type ObservedLab } from '../domain/observed.ts';
import type { ObservedPod } from '../domain/pod.ts';
import { type Finding, findTrouble } from '../domain/reasons.ts';
import { type KubeClient, METADATA_ONLY } from '../storage/kube-client.ts';
import { isKubeError, isOutdated } from '../storage/kube-error.ts';
import { Namespaces, PersistentVolumeClaims, Pods, Secrets } from '../storage/resources.ts';
import { type Decision, decide, type LabMemory } from './decide.ts';
import { LabObjectsWriter } from './lab-objects.ts';
import type { LabTokens } from './lab-service.ts';
import type { LabWatches } from './lab-watches.ts';
import { oneLabSelector } from './observe.ts';
import { type Operation, type Operations, subjectOf, troubleFor } from './operations.ts';
import { refusalOf, type Refused } from './refusal.ts';
import type { SourceSecrets } from './source-secrets.ts';
import type { Result } from './work-queue.ts';

export interface LabReconcilerOptions {
  readonly client: KubeClient;
  readonly watches: LabWatches;
  readonly operations: Operations;
  readonly builder: LabBuilder;
  readonly sources: SourceSecrets;
  /** Where the configuration asks for signed tokens. */
  readonly tokens?: LabTokens | undefined;
  readonly config: LabConfig;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** How long something with our labels and without an intent is left alone, in milliseconds. */
  readonly leftoverGrace?: number;
}

const LEFTOVER_GRACE_MS = 5 * 60_000;
/** How long a spawn waits for a quota to be given back. */
const QUOTA_GRACE_MS = 5_000;
/** A pod that does not go is asked again so often. */
const CLEANUP_AGAIN_MS = 10_000;
/** Progress of the events of a spawn, as Nublado's users know it. */
const PROGRESS = { waiting: 5, objects: 30 } as const;

/**
 * Moves one lab from what is observed to what is wanted, one decision at a time. `decide` says what to do; here it is
 * done. Everything may be interrupted anywhere: the next run, in this process or another, observes and decides anew.
 */
export class LabReconciler {
  readonly #options: LabReconcilerOptions;
  readonly #writer: LabObjectsWriter;
  readonly #now: () => number;
  /** Since when something without an intent has been seen, by slug, in milliseconds since the epoch. */
  readonly #leftovers = new Map<string, number>();

  constructor(options: LabReconcilerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#writer = new LabObjectsWriter(options.client, options.controller);
  }

  /** One run for one lab. It throws what may pass: the queue comes back to it. */
  async reconcile(slug: string): Promise<Result> {
    const observed = this.#options.watches.observe(slug);
    const { intent } = observed;
    if (intent !== undefined) this.#leftovers.delete(slug);
    const kind = intent?.deleting === true ? 'delete' : 'spawn';
    const operation = intent === undefined ? undefined : this.#options.operations.resume(kind, subjectOf(intent));
    const memory = this.#remember(slug, observed, operation);
    const { config, leftoverGrace = LEFTOVER_GRACE_MS } = this.#options;
    const decision = decide(observed, memory, { ...config, leftoverGrace }, this.#now());
    if (intent === undefined || operation === undefined) return this.#actWithoutIntent(slug, observed, decision);
    if (kind === 'spawn' && intent.failure !== null) endFailed(operation, intent.failure);
    return this.#act({ slug, observed, intent, operation }, decision);
  }

  async #act(lab: Lab, decision: Decision): Promise<Result> {
    const { operation, intent } = lab;
    switch (decision.do) {
      case 'wait-for-namespace':
        operation.log.info('Waiting for the namespace of an earlier lab to go', PROGRESS.waiting);
        return { requeueAfterMs: decision.again };
      case 'remove-leftover-pod':
        return this.#removeLeftoverPod(lab, decision.pod, decision.again);
      case 'make-objects':
        return this.#makeObjects(lab);
      case 'follow-pod':
        if (operation.trouble !== null) operation.log.info(operation.trouble.message);
        return { requeueAfterMs: decision.again };
      case 'report-running':
        operation.secrets = null;
        operation.log.end('complete', `Lab Kubernetes pod started for ${intent.spec.user.username}`);
        return {};
      case 'fail':
        return this.#fail(lab, decision.finding);
      case 'clean-up':
        return this.#cleanUp(lab);
      case 'forget-failure':
        return this.#forgetFailure(lab);
      default:
        // What is left are decisions about labs without an intent.
        return later(decision);
    }
  }

  async #actWithoutIntent(slug: string, observed: ObservedLab, decision: Decision): Promise<Result> {
    const { logger, operations, client } = this.#options;
    // The answer to a delete got lost, or somebody has removed the intent: no reader waits for ever.
    operations.finish(slug);
    if (decision.do === 'nothing') this.#leftovers.delete(slug);
    switch (decision.do) {
      case 'report-leftover':
        if (decision.loud)
          logger.warn({ lab: slug, namespace: observed.namespace?.name }, 'leftover without an intent');
        else if (!this.#leftovers.has(slug)) this.#leftovers.set(slug, this.#now());
        return { requeueAfterMs: decision.again };
      case 'remove-leftover-pod':
        if (await this.#hasIntent(slug)) return {};
        logger.warn({ lab: slug, namespace: decision.pod.namespace }, 'removing a pod without an intent');
        await this.#deletePod(decision.pod);
        await client.deleteCollection(Secrets, decision.pod.namespace, this.#selector(slug), {
          priority: 'background',
        });
        return { requeueAfterMs: CLEANUP_AGAIN_MS };
      case 'collect-namespace': {
        const { name, uid } = decision.namespace;
        // The picture may be old; a namespace is not deleted on its word alone.
        if (await this.#hasIntent(slug)) return {};
        logger.info({ lab: slug, namespace: name, leftover: decision.leftover }, 'collecting a namespace');
        await client.delete(Namespaces, { name }, { uid, priority: 'background' });
        this.#leftovers.delete(slug);
        return {};
      }
      default:
        return later(decision);
    }
  }

  /** What this process knows besides the picture: brings the operation up to date with the pod. */
  #remember(slug: string, observed: ObservedLab, operation: Operation | undefined): LabMemory {
    const now = this.#now();
    const pod = currentPod(observed);
    if (operation !== undefined && pod !== undefined) {
      operation.podUid = pod.uid;
      operation.trouble = troubleFor(findTrouble(pod), operation.trouble, now);
    }
    const trouble = operation?.trouble ?? operation?.eventTrouble ?? null;
    return {
      podSeen: operation !== undefined && operation.podUid !== null,
      trouble: trouble === null ? null : { ...trouble, forMs: now - trouble.since },
      leftoverForMs: now - (this.#leftovers.get(slug) ?? now),
    };
  }

  async #makeObjects({ slug, intent, observed, operation }: Lab): Promise<Result> {
    const { watches, builder, sources, config, logger } = this.#options;
    const { spec } = intent;
    const isWanted = () => {
      const current = watches.observe(slug).intent;
      return current?.spec.spawnId === spec.spawnId && !current.deleting && current.failure === null;
    };
    try {
      const secrets = operation.secrets ?? (await this.#readSecrets(intent));
      if (secrets === undefined) return {};
      operation.secrets = secrets;
      const copied = await sources.read();
      const objects = builder.buildLab({
        user: spec.user,
        lab: spec,
        image: spec.image,
        secrets: { ...secrets, token: await this.#tokenOf(spec, secrets), data: copied.data },
        pullSecret: copied.pullSecret,
      });
      const written = await this.#writer.write({
        slug,
        objects,
        namespace: observed.namespace,
        onNamespace: (namespace) => watches.observeNamespace(namespace),
        isWanted,
        noteServiceIp: config.internalUrl === 'serviceIp',
      });
      if (written === undefined) return {};
      operation.podUid = written.metadata?.uid ?? null;
      operation.log.info('Created Kubernetes objects for user lab', PROGRESS.objects);
      watches.observePod(written);
      return { requeueAfterMs: Math.max(0, spec.deadline - this.#now()) };
    } catch (error) {
      const refused = refusalOf(error);
      if (refused === undefined || this.#mayPass(refused, operation)) throw error;
      logger.warn({ err: error, lab: slug }, 'the cluster refuses a lab');
      return this.#fail({ slug, intent, observed, operation }, refused.finding);
    }
  }

  /**
   * Whether a refusal may be about what has just gone: the quota of a lab that was deleted a moment ago is given back by a
   * controller of the cluster's own, which takes its time.
   */
  #mayPass({ finding }: Refused, operation: Operation): boolean {
    if (finding.reason !== 'QuotaExceeded') return false;
    operation.quotaRefusedAt ??= this.#now();
    return this.#now() - operation.quotaRefusedAt < QUOTA_GRACE_MS;
  }

  /** The secret half of an intent that another process has written; undefined when it is not wanted any more. */
  async #readSecrets({ name, uid }: ObservedIntent): Promise<LabSecrets | undefined> {
    const intent = await this.#options.client.get(Secrets, { namespace: this.#options.controller, name });
    return intent?.metadata?.uid === uid ? parseSecrets(intent) : undefined;
  }

  /** A signed token is made at the last moment and kept nowhere but in the lab, so that none is ever older than its lab. */
  async #tokenOf({ user, servername, signedToken }: LabSpec, { token }: LabSecrets): Promise<string | null> {
    if (signedToken !== true) return token;
    const groups = user.groups.map(({ name }) => name);
    const minted = await this.#options.tokens?.mint({ username: user.username, servername, groups });
    return minted?.token ?? null;
  }

  async #removeLeftoverPod({ operation }: Lab, pod: ObservedPod, again: number): Promise<Result> {
    operation.log.info('Waiting for the pod of an earlier lab to go', PROGRESS.waiting);
    if (!pod.terminating) await this.#deletePod(pod);
    return { requeueAfterMs: Math.min(again, CLEANUP_AGAIN_MS) };
  }

  /** Writes down that the lab is over. What is left of it is removed by the next run, which this brings about. */
  async #fail({ slug, intent, operation }: Lab, finding: Finding): Promise<Result> {
    const { client, controller, watches, logger } = this.#options;
    const { reason, message } = finding;
    const failure = { reason, message, at: this.#now(), status: endStatus(finding) };
    try {
      const ref = { namespace: controller, name: intent.name };
      watches.observeIntent(await client.patch(Secrets, ref, failurePatch(intent, failure), METADATA_ONLY));
    } catch (error) {
      // Deleted or replaced meanwhile: then there is nothing to write down.
      if (isOutdated(error)) return {};
      throw error;
    }
    logger.warn({ lab: slug, user: intent.spec.user.username, reason, finding: message }, 'lab failed');
    operation.cleanupAskedAt = null;
    operation.secrets = null;
    endFailed(operation, finding);
    return {};
  }

  /**
   * Ends what is left of a lab that was deleted or has failed: pod, secrets, volumes that are not kept. When they are
   * gone the namespace is kept or removed, and the intent is deleted, or marked as clean if its reason is to be kept.
   */
  async #cleanUp(lab: Lab): Promise<Result> {
    const { slug, intent, operation, observed } = lab;
    const { client, config, controller, watches, operations } = this.#options;
    if (this.#now() - (operation.cleanupAskedAt ?? 0) >= CLEANUP_AGAIN_MS) {
      await this.#askToEnd(lab);
      operation.cleanupAskedAt = this.#now();
    }
    if (watches.observe(slug).pod !== undefined) return { requeueAfterMs: CLEANUP_AGAIN_MS };
    const { namespace } = observed;
    if (namespace !== undefined && config.namespaceRetention === 0 && !namespace.permanent && !namespace.terminating) {
      await client.delete(Namespaces, namespace, { uid: namespace.uid });
    }
    if (!intent.deleting) {
      try {
        const ref = { namespace: controller, name: intent.name };
        watches.observeIntent(await client.patch(Secrets, ref, cleanedPatch(intent), METADATA_ONLY));
      } catch (error) {
        // A new lab has taken its place, or it is to be deleted: the watch tells.
        if (!isOutdated(error)) throw error;
      }
      return {};
    }
    await client.delete(Secrets, { namespace: controller, name: intent.name }, { uid: intent.uid });
    watches.forgetIntent(intent);
    operations.finish(slug);
    return {};
  }

  async #askToEnd(lab: Lab): Promise<void> {
    const { client, config, watches } = this.#options;
    const { slug, intent, observed, operation } = lab;
    const { pod } = observed;
    if (pod !== undefined) operation.log.info('Shutting down Kubernetes pod', 25);
    const where = intent.spec.namespace;
    const ours = this.#selector(slug);
    const volumes = config.volumes.some((volume) => volume.persistentVolumeClaim?.retain === false);
    await Promise.all([
      // What was written a moment ago may not be in the picture yet: so it goes by label, seen or not.
      pod === undefined ? client.deleteCollection(Pods, where, ours) : undefined,
      pod === undefined || pod.terminating ? undefined : this.#deletePod(pod),
      client.deleteCollection(Secrets, where, ours),
      volumes ? client.deleteCollection(PersistentVolumeClaims, where, `${ours},${RETAIN_LABEL}!=true`) : undefined,
      this.#keepNamespace(lab).then((kept) => {
        if (kept !== undefined) watches.observeNamespace(kept);
      }),
    ]);
  }

  /**
   * Notes since when the namespace is kept. Where the lab's pod has not been made, not everything else may be there as it
   * should be; then the hash is taken away, so that the next spawn looks at every object.
   */
  async #keepNamespace({ intent, observed: { namespace }, operation: { podUid } }: Lab) {
    const { client, config } = this.#options;
    if (namespace === undefined || namespace.terminating) return undefined;
    if (config.namespaceRetention === 0 && !namespace.permanent) return undefined;
    const complete = podUid !== null || (namespace.keptSince !== null && intent.failure === null);
    const annotations = {
      [KEPT_SINCE_ANNOTATION]: new Date(this.#now()).toISOString(),
      ...(complete ? {} : { [SPEC_HASH_ANNOTATION]: null }),
    };
    try {
      const patch = { metadata: { uid: namespace.uid, annotations } };
      return await client.patch(Namespaces, { name: namespace.name }, patch, METADATA_ONLY);
    } catch (error) {
      if (isOutdated(error)) return undefined;
      throw error;
    }
  }

  async #deletePod({ namespace, uid }: ObservedPod): Promise<void> {
    await this.#options.client.delete(Pods, { namespace, name: POD_NAME }, { uid }).catch((error: unknown) => {
      // Another pod of that name: the one that was meant is gone.
      if (!isKubeError(error, 409)) throw error;
    });
  }

  /** A new lab may take the place of a failed one at any moment, with the same uid: so the version counts, too. */
  async #forgetFailure({ slug, intent }: Lab): Promise<Result> {
    const { client, controller, watches, operations } = this.#options;
    const { name, uid, resourceVersion } = intent;
    try {
      await client.delete(Secrets, { namespace: controller, name }, { uid, resourceVersion });
    } catch (error) {
      if (isKubeError(error, 409)) return {};
      throw error;
    }
    watches.forgetIntent(intent);
    operations.finish(slug);
    return {};
  }

  async #hasIntent(slug: string): Promise<boolean> {
    const ref = { namespace: this.#options.controller, name: intentName(slug) };
    return (await this.#options.client.get(Secrets, ref, { priority: 'background' })) !== undefined;
  }

  #selector(slug: string): string {
    return oneLabSelector(this.#options.controller, slug);
  }
}

/** Tells the readers of a spawn why there will be no lab. A spawn that has come up has ended already. */
function endFailed({ log }: Operation, { message }: Finding): void {
  log.error(message);
  log.end('failed', 'Lab spawn failed');
}

function later(decision: Decision): Result {
  const again = 'again' in decision ? decision.again : undefined;
  return again === undefined ? {} : { requeueAfterMs: again };
}

interface Lab {
  readonly slug: string;
  readonly observed: ObservedLab;
  readonly intent: ObservedIntent;
  readonly operation: Operation;
}
