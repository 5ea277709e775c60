import type { Logger } from 'pino';
import type { LabBuilder } from '../../builder/lab/lab-builder.ts';
import type { LabConfig } from '../../config/config.ts';
import { hindrancePatch, parseIntent, parseSecrets } from '../../domain/lab/intent.ts';
import type { LabSecrets, LabSpec } from '../../domain/lab/lab.ts';
import { podNameOf } from '../../domain/lab/object-names.ts';
import { asWanted, currentPod, labSpecOf, type ObservedIntent, type WantedLab } from '../../domain/lab/observed.ts';
import type { Finding } from '../../domain/lab/reasons.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Pods, Secrets } from '../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { Controller } from '../controller.ts';
import type { Result } from '../work-queue.ts';
import type { LabAdmission } from './admission/lab-admission.ts';
import { type Decision, decide, type LabTimings } from './decide.ts';
import type { LabCache } from './lab-cache.ts';
import { type LabTokens, tokenSubject } from './lab-service.ts';
import type { LabTeardown } from './lab-teardown.ts';
import { LabObjectsWriter, type WrittenPod } from './objects/lab-objects.ts';
import { hindranceOf, refusalOf, Refused } from './objects/refusal.ts';
import type { SourceSecrets } from './objects/source-secrets.ts';
import { CLEANUP_AGAIN_MS, type Operation, type Operations, subjectOf } from './operations.ts';

export interface LabReconcilerOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly operations: Operations;
  readonly admission: Pick<LabAdmission, 'judge'>;
  readonly teardown: LabTeardown;
  readonly builder: LabBuilder;
  readonly sources: SourceSecrets;
  readonly config: LabConfig;
  readonly timings: LabTimings;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Where the configuration asks for signed tokens. */
  readonly tokens?: LabTokens | undefined;
  /** Resolves when the namespace that labs share has what isolates them. */
  readonly prepare: () => Promise<void>;
  /** Whether images are built from repositories: by another controller. */
  readonly buildsImages: boolean;
  /** The longest that a refusal which may pass is waited for, in milliseconds; tests shorten it. */
  readonly longestGrace?: number | undefined;
  /** For how long the cluster may fail what a lab needs before that is noted for readers, in milliseconds. */
  readonly noteAfter: number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/**
 * Moves one lab from what is observed to what is wanted, one decision at a time. `decide` says what to do; here it is
 * done. Everything may be interrupted anywhere: the next run, in this process or another, observes and decides anew. What
 * readers are told is not its business: whatever they need to know is in the cluster.
 */
export class LabReconciler {
  readonly #options: LabReconcilerOptions;
  readonly #writer: LabObjectsWriter;
  readonly #clock: Clock;

  constructor(options: LabReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#writer = new LabObjectsWriter(options.client, options.controller);
  }

  /** One run for one lab. It throws what may pass: the queue comes back to it. */
  async reconcile(slug: string): Promise<Result> {
    const first = this.#decide(slug);
    if (first === undefined || !ENDS.has(first.decision.do)) return this.#act(first);
    // The cache may be behind, as after an outage: what ends something is decided on what the API server says now.
    await this.#look(first.lab);
    return this.#act(this.#decide(slug));
  }

  #decide(slug: string): Decided | undefined {
    const { cache, operations, timings, admission, logger } = this.#options;
    const lab = asWanted(cache.observe(slug));
    if (lab === undefined) return undefined;
    const { intent } = lab;
    if (!cache.sees(intent)) {
      // As another replica may have accepted it that had another configuration.
      logger.error({ lab: slug, namespace: intent.spec.namespace }, 'there is no right to see a lab; it is left alone');
      return undefined;
    }
    const operation = operations.resume(intent.deleting ? 'delete' : 'spawn', subjectOf(intent));
    const [now, at] = [this.#clock.now(), this.#clock.monotonic()];
    operation.notePod(currentPod(lab), at);
    const podSeen = cache.hasSeenPod(intent);
    const memory = operation.memoryOf(lab, { podSeen, clockSkew: timings.clockSkew, now, at });
    return { lab, operation, decision: decide(lab, memory, timings, now, admission.judge(lab)) };
  }

  /** Brings the cache up to the API server's word about the intent and the pod of this lab. @throws KubeError */
  async #look({ intent, pod }: WantedLab): Promise<void> {
    const { client, cache } = this.#options;
    const { namespace } = intent.spec;
    const [found] = await Promise.all([
      namespace === '' ? undefined : client.get(Pods, { namespace, name: podNameOf(intent.spec) }),
      this.#confirm(intent),
    ]);
    if (found !== undefined) cache.observePod(found);
    if (pod !== undefined && pod.uid !== found?.metadata?.uid) cache.forgetPod(pod);
  }

  async #act(decided: Decided | undefined): Promise<Result> {
    if (decided === undefined) return {};
    const { lab, operation, decision } = decided;
    const { teardown, buildsImages } = this.#options;
    switch (decision.do) {
      case 'nothing':
        return decision.again === undefined ? {} : { requeueAfterMs: decision.again };
      case 'wait-for-namespace':
      case 'follow-pod':
        return { requeueAfterMs: decision.again };
      case 'remove-leftover-pod':
        if (!decision.pod.terminating) await teardown.deletePod(decision.pod);
        return { requeueAfterMs: Math.min(decision.again, CLEANUP_AGAIN_MS) };
      case 'await-image':
        return buildsImages ? {} : teardown.fail(lab.intent, NO_BUILDS);
      case 'make-objects':
        return this.#makeObjects(lab, operation);
      case 'report-running':
        return {};
      case 'fail':
        // Pod and secrets are told to go by the next run, whatever they were told before.
        operation.noteCleanup(null);
        return teardown.fail(lab.intent, decision.finding);
      case 'clean-up':
        return teardown.cleanUp(lab, operation);
      case 'forget-failure':
        return teardown.forgetFailure(lab.intent);
    }
  }

  async #makeObjects({ intent, namespace }: WantedLab, operation: Operation): Promise<Result> {
    const { cache, config, logger, teardown } = this.#options;
    const { slug } = intent;
    const spec = labSpecOf(intent);
    const isWanted = () => isCurrent(cache.intentOf(slug), spec.spawnId);
    let written: WrittenPod | undefined;
    try {
      const secrets = operation.secrets ?? (await this.#readSecrets(intent));
      if (secrets === undefined) return {};
      operation.keepSecrets(secrets);
      if (spec.objectName !== undefined) await this.#options.prepare();
      written = await this.#writer.write({
        slug,
        spawnId: spec.spawnId,
        objects: await this.#buildObjects(spec, secrets),
        namespace,
        onNamespace: (found) => cache.observeNamespace(found),
        isWanted,
        confirm: () => this.#confirm(intent),
        noteServiceIp: config.internalUrl === 'serviceIp',
      });
      operation.noteAccepted();
      if (written !== undefined) cache.observePod(written.pod);
    } catch (error) {
      // Whatever the error is about, nothing comes back to a lab that nobody wants any more.
      if (!isWanted()) return teardown.takeBack(intent, undefined);
      const refused = refusalOf(error);
      if (refused === undefined || this.#mayPass(refused, operation)) {
        await this.#noteHindrance(intent, error, operation);
        throw error;
      }
      logger.warn({ err: error, lab: slug }, 'the cluster refuses a lab');
      operation.noteCleanup(null);
      return teardown.fail(intent, refused.finding);
    }
    if (!isWanted()) return teardown.takeBack(intent, written?.isNew === true ? written.pod : undefined);
    const { clockSkew } = this.#options.timings;
    const look = { hasPod: true, clockSkew, now: this.#clock.now(), at: this.#clock.monotonic() };
    return { requeueAfterMs: Math.max(0, operation.timeLeft(intent, look)) };
  }

  async #buildObjects(spec: LabSpec, secrets: LabSecrets) {
    const copied = await this.#options.sources.read();
    return this.#options.builder.buildLab({
      user: spec.user,
      lab: spec,
      image: spec.image,
      secrets: { ...secrets, token: await this.#tokenOf(spec, secrets), data: copied.data },
      pullSecret: copied.pullSecret,
    });
  }

  /** Notes in the intent what the cluster has failed for some seconds, where it is not noted yet: every replica tells its readers. */
  async #noteHindrance(intent: ObservedIntent, error: unknown, operation: Operation): Promise<void> {
    const { client, cache, controller, noteAfter, logger } = this.#options;
    const hindrance = hindranceOf(error);
    if (hindrance === undefined || hindrance.message === intent.hindrance?.message) return;
    if (operation.refusedFor(hindrance.reason, this.#clock.monotonic()) < noteAfter) return;
    try {
      const ref = { namespace: controller, name: intent.name };
      cache.observeIntent(await client.patch(Secrets, ref, hindrancePatch(intent, hindrance), METADATA_ONLY));
    } catch (err) {
      // The error of the run counts; this is noted by a later one, or the lab is over by then.
      if (!isOutdated(err)) logger.warn({ err, lab: intent.slug }, 'what a lab waits for cannot be noted');
    }
  }

  /** Whether a refusal may be about what passes by itself, and has not lasted longer than that takes. */
  #mayPass({ finding, graceMs }: Refused, operation: Operation): boolean {
    const grace = Math.min(graceMs, this.#options.longestGrace ?? graceMs);
    return operation.refusedFor(finding.reason, this.#clock.monotonic()) < grace;
  }

  /** The secret half of an intent that was accepted elsewhere; undefined when it is not wanted any more. */
  async #readSecrets({ name, uid, spec }: ObservedIntent): Promise<LabSecrets | undefined> {
    const intent = await this.#options.client.get(Secrets, { namespace: this.#options.controller, name });
    if (intent?.metadata?.uid !== uid) return undefined;
    const isSame = parseIntent(intent.metadata)?.spec.spawnId === spec.spawnId;
    return isSame ? parseSecrets(intent) : undefined;
  }

  /** Asks the API server whether this spawn is wanted, where the cache may be old and something would be removed. */
  async #confirm({ slug, name, spec, uid }: ObservedIntent): Promise<boolean> {
    const { client, cache, controller } = this.#options;
    const found = await client.get(Secrets, { namespace: controller, name }, METADATA_ONLY);
    if (found === undefined) cache.forgetIntent({ slug, uid });
    else cache.observeIntent(found);
    return isCurrent(parseIntent(found?.metadata), spec.spawnId);
  }

  /** A signed token is made at the last moment and kept nowhere but in the lab, so that none is ever older than its lab. */
  async #tokenOf(spec: LabSpec, { token }: LabSecrets): Promise<string | null> {
    if (spec.signedToken !== true) return token;
    const { tokens } = this.#options;
    if (tokens === undefined) throw new Refused(NO_SIGNER.reason, NO_SIGNER.message);
    return (await tokens.mint(tokenSubject(spec))).token;
  }
}

/**
 * The controller `labs`.
 *
 * @param current by the configuration that holds when a run begins
 */
export function labsController(
  current: () => LabReconciler,
  cache: LabCache,
  { concurrency, logger }: { readonly concurrency: number; readonly logger: Logger },
): Controller {
  return new Controller({
    name: 'labs',
    caches: [cache],
    sources: [
      cache.changes,
      // What an event says may be a reason to give up.
      (enqueue, signal) =>
        cache.onPodEvent((slug, { type }) => {
          if (type !== 'Normal') enqueue(slug);
        }, signal),
    ],
    keys: () => [...cache.intents()].map(({ slug }) => slug),
    reconcile: (slug) => current().reconcile(slug),
    concurrency,
    logger,
  });
}

interface Decided {
  readonly lab: WantedLab;
  readonly operation: Operation;
  readonly decision: Decision;
}

/** What takes a pod away, or leads to that. */
const ENDS: ReadonlySet<Decision['do']> = new Set(['fail', 'remove-leftover-pod']);

const NO_BUILDS: Finding = {
  reason: 'BuildFailed',
  message: 'Building images from repositories is not enabled on this server.',
};
const NO_SIGNER: Finding = {
  reason: 'Error',
  message: 'The lab was asked for with a token that Labwright signs, and signing is not enabled on this server.',
};

function isCurrent(intent: ObservedIntent | undefined, spawnId: string): boolean {
  return intent?.spec.spawnId === spawnId && !intent.deleting && intent.failure === null;
}
