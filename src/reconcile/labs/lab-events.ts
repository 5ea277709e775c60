import type { CoreV1Event } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { asWanted, currentPod, type WantedLab } from '../../domain/lab/observed.ts';
import { eventText, findEventTrouble } from '../../domain/lab/reasons.ts';
import { stuckAt, stuckPod } from '../../domain/lab/stuck-pod.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { Controller } from '../controller.ts';
import { decide, type LabTimings } from './decide.ts';
import type { ImageFollowers } from './image-followers.ts';
import type { LabCache } from './lab-cache.ts';
import { type Operation, type Operations, subjectOf } from './operations.ts';

export interface LabEventReporterOptions {
  readonly cache: Pick<LabCache, 'observe' | 'hasSeenPod'>;
  readonly operations: Operations;
  readonly timings: LabTimings;
  /** Where images are built from repositories. */
  readonly followers?: ImageFollowers | undefined;
  readonly clock?: Clock;
}

/** Progress of the events of a spawn and a delete, as Nublado's users know it. */
const PROGRESS = { waiting: 5, objects: 30, stopping: 25 } as const;

/**
 * Tells the readers of this replica how their labs are doing, from what its caches show and nothing else: so it makes no
 * difference which replica a reader reaches and which one reconciles. It writes nothing to the cluster.
 */
export class LabEventReporter {
  readonly #options: LabEventReporterOptions;
  readonly #clock: Clock;

  constructor(options: LabEventReporterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /**
   * Tells what there is to tell about this lab. Telling it twice tells nothing new.
   *
   * @returns the lab's current operation; undefined when there is no such lab
   */
  report(slug: string): Operation | undefined {
    const { cache, operations, followers } = this.#options;
    const lab = asWanted(cache.observe(slug));
    if (lab === undefined) {
      followers?.drop(slug);
      // Deleted, by us or by somebody else: no reader waits for ever.
      operations.finish(slug);
      return undefined;
    }
    const { intent } = lab;
    const operation = operations.resume(intent.deleting ? 'delete' : 'spawn', subjectOf(intent));
    operation.notePod(currentPod(lab), this.#clock.monotonic());
    if (intent.deleting) this.#reportDelete(lab, operation);
    else if (intent.failure !== null) operation.fail(intent.failure);
    else if (!operation.log.ended) this.#reportSpawn(slug, lab, operation);
    if (operation.log.ended || intent.deleting) followers?.drop(slug);
    return operation;
  }

  /** Tells what Kubernetes says about the lab's pod. */
  reportPodEvent(slug: string, { type, reason = '', message = '' }: CoreV1Event): void {
    const operation = this.report(slug);
    if (operation === undefined || operation.log.kind !== 'spawn' || operation.log.ended) return;
    const trouble = type === 'Normal' ? undefined : findEventTrouble(reason, message);
    operation.noteEvent(eventText(reason, message), trouble, this.#clock.monotonic());
  }

  /** After how many milliseconds there may be something to tell although nothing has changed; undefined for never. */
  nextLook(slug: string): number | undefined {
    const { intent, pod } = this.#options.cache.observe(slug);
    const at = intent === undefined || pod === undefined ? undefined : stuckAt(pod);
    const left = at === undefined ? 0 : at - this.#clock.now();
    return left > 0 ? left : undefined;
  }

  #reportDelete({ pod }: WantedLab, { log }: Operation): void {
    if (pod === undefined) return;
    log.info('Shutting down Kubernetes pod', PROGRESS.stopping);
    const stuck = stuckPod(pod, 'the lab', this.#clock.now());
    if (stuck !== undefined) log.info(stuck.message);
  }

  #reportSpawn(slug: string, lab: WantedLab, operation: Operation): void {
    const { cache, timings, followers } = this.#options;
    const { log } = operation;
    const { asked, reference } = lab.intent.spec.image;
    if (asked !== undefined) {
      log.info(`${asked} is not offered any more; its tag stands for another image now: ${reference}`);
    }
    const [now, at] = [this.#clock.now(), this.#clock.monotonic()];
    const memory = operation.memoryOf(lab, {
      podSeen: cache.hasSeenPod(lab.intent),
      clockSkew: timings.clockSkew,
      now,
      at,
    });
    const decision = decide(lab, memory, timings, now);
    if (decision.do === 'await-image') return followers?.follow(slug, lab.intent, log);
    followers?.drop(slug);
    if (memory.podSeen) log.info('Created Kubernetes objects for user lab', PROGRESS.objects);
    if (decision.do === 'wait-for-namespace') {
      log.info('Waiting for the namespace of an earlier lab to go', PROGRESS.waiting);
    } else if (decision.do === 'remove-leftover-pod') {
      log.info('Waiting for the pod of an earlier lab to go', PROGRESS.waiting);
      const stuck = stuckPod(decision.pod, 'an earlier lab', now);
      if (stuck !== undefined) log.info(stuck.message);
    } else if (decision.do === 'make-objects') {
      if (lab.intent.hindrance !== null) log.info(`${lab.intent.hindrance.message} Labwright goes on trying.`);
    } else if (decision.do === 'follow-pod') {
      if (memory.trouble !== null) log.info(memory.trouble.message);
    } else if (decision.do === 'report-running') {
      operation.end('complete', `Lab Kubernetes pod started for ${lab.intent.spec.user.username}`);
    }
    // That a lab has failed is told when the leader has noted it: then every replica tells the same.
  }
}

/**
 * The controller `lab-events`: it runs on every replica.
 *
 * @param current by the configuration that holds when a run begins
 */
export function labEventsController(current: () => LabEventReporter, cache: LabCache, logger: Logger): Controller {
  return new Controller({
    name: 'lab-events',
    needsLeader: false,
    caches: [cache],
    sources: [
      cache.changes,
      (_enqueue, signal) => cache.onPodEvent((slug, event) => current().reportPodEvent(slug, event), signal),
    ],
    keys: () => cache.slugs(),
    reconcile(slug) {
      const reporter = current();
      reporter.report(slug);
      const next = reporter.nextLook(slug);
      return Promise.resolve(next === undefined ? undefined : { requeueAfterMs: next });
    },
    logger,
  });
}
