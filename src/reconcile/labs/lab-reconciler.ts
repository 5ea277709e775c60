import { buildOfLabPatch, imageOfLabPatch, parseSecrets } from '../../domain/lab/intent.ts';
import type { LabBuilder } from '../../builder/lab/lab-builder.ts';
import { intentName } from '../../domain/lab/object-names.ts';
import type { LabSecrets, LabSpec } from '../../domain/lab/lab.ts';
import { currentPod, labSpecOf, type ObservedIntent, type ObservedLab } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { type Finding, findTrouble } from '../../domain/lab/reasons.ts';
import { METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces, Secrets } from '../../storage/kubernetes/resources.ts';
import { type Decision, decide, type LabMemory } from './decide.ts';
import { CLEANUP_AGAIN_MS, type Lab, LabEnding, type LabEndingOptions, tellFailure } from './lab-ending.ts';
import type { LabImages } from './lab-images.ts';
import { LabObjectsWriter } from './objects/lab-objects.ts';
import { type LabTokens, tokenSubject } from './lab-service.ts';
import { oneLabSelector } from './observe.ts';
import { type Operation, subjectOf, troubleFor } from './operations.ts';
import { refusalOf, type Refused } from './objects/refusal.ts';
import type { SourceSecrets } from './objects/source-secrets.ts';
import type { Result } from '../work-queue.ts';

export interface LabReconcilerOptions extends LabEndingOptions {
  readonly builder: LabBuilder;
  readonly sources: SourceSecrets;
  /** Where the configuration asks for signed tokens. */
  readonly tokens?: LabTokens | undefined;
  /** Where images are built from repositories. */
  readonly images?: LabImages | undefined;
  /** How long something with our labels and without an intent is left alone, in milliseconds. */
  readonly leftoverGrace?: number;
}

const LEFTOVER_GRACE_MS = 5 * 60_000;
/** How long a spawn waits for a quota to be given back. */
const QUOTA_GRACE_MS = 5_000;
/** Progress of the events of a spawn, as Nublado's users know it. */
const PROGRESS = { waiting: 5, objects: 30 } as const;

/**
 * Moves one lab from what is observed to what is wanted, one decision at a time. `decide` says what to do; here it is
 * done. Everything may be interrupted anywhere: the next run, in this process or another, observes and decides anew.
 */
export class LabReconciler {
  readonly #options: LabReconcilerOptions;
  readonly #writer: LabObjectsWriter;
  readonly #ending: LabEnding;
  readonly #now: () => number;
  /** Since when something without an intent has been seen, by slug, in milliseconds since the epoch. */
  readonly #leftovers = new Map<string, number>();

  constructor(options: LabReconcilerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#writer = new LabObjectsWriter(options.client, options.controller);
    this.#ending = new LabEnding(options);
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
    if (decision.do !== 'await-image') this.#options.images?.drop(slug);
    if (intent === undefined || operation === undefined) return this.#actWithoutIntent(slug, observed, decision);
    if (kind === 'spawn' && intent.failure !== null) tellFailure(operation, intent.failure);
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
      case 'await-image':
        return this.#awaitImage(lab);
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
        return this.#ending.fail(lab, decision.finding);
      case 'clean-up':
        return this.#ending.cleanUp(lab);
      case 'forget-failure':
        return this.#ending.forgetFailure(lab);
      default:
        // What is left are decisions about labs without an intent.
        return later(decision);
    }
  }

  async #actWithoutIntent(slug: string, observed: ObservedLab, decision: Decision): Promise<Result> {
    const { logger, operations, client, controller } = this.#options;
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
        await this.#ending.deletePod(decision.pod);
        await client.deleteCollection(Secrets, decision.pod.namespace, oneLabSelector(controller, slug), {
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

  /** What has come of the build of the lab's image is noted at the lab, so that any process can go on from there. */
  async #awaitImage(lab: Lab): Promise<Result> {
    const { slug, intent, operation } = lab;
    const { images } = this.#options;
    if (images === undefined) return this.#ending.fail(lab, NO_BUILDS);
    const onProgress = (message: string, progress: number) => operation.log.info(message, progress);
    const progress = images.advance(slug, intent, { onProgress });
    if (progress.is === 'failed') return this.#ending.fail(lab, progress.finding);
    if (progress.is === 'ready') await this.#note(intent, imageOfLabPatch(intent, progress.image));
    const isNews = progress.is === 'building' && intent.build?.id !== progress.build.id;
    if (isNews) await this.#note(intent, buildOfLabPatch(intent, progress.build));
    return {};
  }

  async #note({ name }: ObservedIntent, patch: object): Promise<void> {
    const { client, controller, watches } = this.#options;
    try {
      watches.observeIntent(await client.patch(Secrets, { namespace: controller, name }, patch, METADATA_ONLY));
    } catch (error) {
      // Deleted or replaced meanwhile: the watch tells.
      if (!isOutdated(error)) throw error;
    }
  }

  async #makeObjects({ slug, intent, observed, operation }: Lab): Promise<Result> {
    const { watches, builder, sources, config, logger } = this.#options;
    const spec = labSpecOf(intent);
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
      return this.#ending.fail({ slug, intent, observed, operation }, refused.finding);
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
  async #tokenOf(spec: LabSpec, { token }: LabSecrets): Promise<string | null> {
    if (spec.signedToken !== true) return token;
    const minted = await this.#options.tokens?.mint(tokenSubject(spec));
    return minted?.token ?? null;
  }

  async #removeLeftoverPod({ operation }: Lab, pod: ObservedPod, again: number): Promise<Result> {
    operation.log.info('Waiting for the pod of an earlier lab to go', PROGRESS.waiting);
    if (!pod.terminating) await this.#ending.deletePod(pod);
    return { requeueAfterMs: Math.min(again, CLEANUP_AGAIN_MS) };
  }

  async #hasIntent(slug: string): Promise<boolean> {
    const ref = { namespace: this.#options.controller, name: intentName(slug) };
    return (await this.#options.client.get(Secrets, ref, { priority: 'background' })) !== undefined;
  }
}

const NO_BUILDS: Finding = {
  reason: 'BuildFailed',
  message: 'Images are not built from repositories here any more.',
};

function later(decision: Decision): Result {
  const again = 'again' in decision ? decision.again : undefined;
  return again === undefined ? {} : { requeueAfterMs: again };
}
