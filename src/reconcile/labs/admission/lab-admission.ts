import { LabwrightError } from '../../../domain/errors.ts';
import type { LabSpec } from '../../../domain/lab/lab.ts';
import { currentPod, type WantedLab } from '../../../domain/lab/observed.ts';
import type { Finding } from '../../../domain/lab/reasons.ts';
import { labSlug } from '../../../domain/names.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { LabCache } from '../lab-cache.ts';
import type { LabLookup } from '../lab-lookup.ts';
import type { CreateLab } from '../lab-service.ts';
import type { Operations } from '../operations.ts';
import { comesBefore, exceeds, takesShare } from './allowance.ts';
import { Backlog } from './backlog.ts';

export interface LabAdmissionOptions {
  readonly cache: LabCache;
  readonly operations: Operations;
  /** Of its own: its questions take nothing from those that an answer depends on. */
  readonly lookup: LabLookup;
  /** Most labs that a user has at once. */
  readonly labsPerUser: number;
  /** How long a lab has for starting, in milliseconds. */
  readonly spawnTimeout: number;
  /** The one that it takes the place of: what is under way there counts here as well. */
  readonly before?: LabAdmission | undefined;
  readonly clock?: Clock;
}

/** Most labs of a user that the API server is asked about before one more is refused. */
const ASKED = 8;

/**
 * Whether a lab may be begun: what its user may have at once, over all labs, and whether the cluster keeps up.
 *
 * A create is judged where it arrives, with what its replica knows: the labs in its cache and the creates that are under way
 * here. Creates of one user at several replicas in the same moment do not know of each other. Both intents are written, and
 * the leader judges each by those that come before it: the later one fails, with the same sentence. That costs no call.
 */
export class LabAdmission {
  readonly #options: Omit<LabAdmissionOptions, 'before'>;
  readonly #clock: Clock;
  readonly #backlog: Backlog;
  /** By user: creates that are under way. */
  readonly #pending: Map<string, Set<CreateLab>>;

  constructor({ before, ...options }: LabAdmissionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    const { cache } = options;
    const labs = () => [...cache.labs()].filter((lab) => this.#takesShare(lab));
    this.#backlog = before === undefined ? new Backlog({ labs }) : before.#backlog;
    this.#pending = before === undefined ? new Map<string, Set<CreateLab>>() : before.#pending;
  }

  /**
   * Accepts a lab, if it is admitted. `accept` is the accepting; until it has ended, the lab counts as the user's.
   *
   * @throws {LabwrightError} `insufficient_quota` (403), `overloaded` (503, with retryAfter)
   */
  async admit<T>(lab: CreateLab, accept: () => Promise<T>): Promise<T> {
    const { username } = lab.key;
    if (this.#exceeds(lab) !== undefined) {
      // Another replica may have seen the end of one of them.
      await this.#refresh(username);
      const finding = this.#exceeds(lab);
      if (finding !== undefined) throw new LabwrightError('insufficient_quota', 403, finding.message);
    }
    const retryAfter = this.#backlog.pauseFor(username, this.#options.spawnTimeout, this.#clock.monotonic());
    if (retryAfter > 0) {
      const message = 'More labs are being started than the cluster keeps up with; try again in a moment';
      throw new LabwrightError('overloaded', 503, message, { retryAfter });
    }
    const pending = this.#pending.get(username) ?? new Set();
    this.#pending.set(username, pending.add(lab));
    try {
      const result = await accept();
      this.#backlog.noteAccepted();
      return result;
    } finally {
      pending.delete(lab);
      if (pending.size === 0) this.#pending.delete(username);
    }
  }

  /** What a lab that was accepted exceeds, beside those that come before it. One that exceeds nothing is begun from now on. */
  judge(lab: WantedLab): Finding | undefined {
    const { cache, labsPerUser, operations } = this.#options;
    const { slug, spec } = lab.intent;
    const others = cache.labsOf(spec.user.username).filter((other) => other.intent.slug !== slug);
    const before = others.filter(
      (other) => this.#takesShare(other) && comesBefore(other, lab, (each) => this.#isBegun(each)),
    );
    const specs = before.map(({ intent }) => intent.spec);
    const finding = exceeds(spec, specs, labsPerUser);
    if (finding === undefined) operations.get(slug)?.noteBegun();
    return finding;
  }

  #isBegun(lab: WantedLab): boolean {
    if (currentPod(lab) !== undefined) return true;
    const operation = this.#options.operations.get(lab.intent.slug);
    return operation?.isBegun === true && operation.log.spawnId === lab.intent.spec.spawnId;
  }

  #exceeds(lab: CreateLab): Finding | undefined {
    const others = new Map<string, Pick<LabSpec, 'resources' | 'quota'>>();
    for (const pending of this.#pending.get(lab.key.username) ?? []) others.set(labSlug(pending.key), pending);
    // A create that is still under way here may be in the cache already, by the watch.
    for (const { intent } of this.#sharing(lab.key.username)) others.set(intent.slug, intent.spec);
    others.delete(labSlug(lab.key));
    return exceeds(lab, [...others.values()], this.#options.labsPerUser);
  }

  #sharing(username: string): WantedLab[] {
    return this.#options.cache.labsOf(username).filter((lab) => this.#takesShare(lab));
  }

  #takesShare(lab: WantedLab): boolean {
    return takesShare(lab, this.#options.cache.hasSeenPod(lab.intent));
  }

  async #refresh(username: string): Promise<void> {
    const slugs = this.#sharing(username).map(({ intent }) => intent.slug);
    const asked = slugs.slice(0, ASKED).map((slug) => this.#options.lookup.refresh(slug));
    // Without an answer, what is known holds.
    await Promise.allSettled(asked);
  }
}
