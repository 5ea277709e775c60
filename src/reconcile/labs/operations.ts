import type { LabSecrets } from '../../domain/lab/lab.ts';
import { currentPod, labSpecOf, type ObservedIntent, type WantedLab } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { type Finding, findTrouble, type Trouble } from '../../domain/lab/reasons.ts';
import type { LabMemory } from './decide.ts';
import { OperationLog, type OperationKind } from './operation-log.ts';

/** How many ended operations of labs that are gone are remembered for late readers. */
const REMEMBERED = 1_000;
/** What a pod that is starting has when it is looked at for the first time, however late that is. */
const LEAST_MS = 60_000;
/** A pod that does not go is asked again so often, in milliseconds. */
export const CLEANUP_AGAIN_MS = 10_000;
/** The events of the pod may take the progress so far; the rest is the hub's, which waits for the server. */
const POD_EVENTS_PROGRESS = 75;

/** What is wrong, and since when. */
export type LastingTrouble = Trouble & { readonly since: number };

/**
 * What is wrong now, and since when: from the start of the same complaint where it was there before. What may pass and what
 * may not are two complaints, also under the same word.
 */
export function troubleFor(
  trouble: Trouble | undefined,
  before: LastingTrouble | null,
  at: number,
): LastingTrouble | null {
  if (trouble === undefined) return null;
  const isSame = before?.reason === trouble.reason && before.waitsFor === trouble.waitsFor;
  return { ...trouble, since: isSame ? before.since : at };
}

/** When a lab is looked at, and what is there. */
interface Look {
  /** Whether the pod of this spawn is there. */
  readonly hasPod: boolean;
  /** How far the clock of whoever has set the deadline may be from ours, in milliseconds. */
  readonly clockSkew: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Of the monotonic clock. */
  readonly at: number;
}

/** Which lab an operation is about. */
interface Subject {
  readonly slug: string;
  readonly username: string;
  readonly spawnId: string;
}

/**
 * What this process remembers of a lab's current or last operation. All of it can be lost, and another replica begins with
 * none of it:
 *
 * | what | when another replica reconciles |
 * |---|---|
 * | events for readers | every replica has its own, from its own cache |
 * | the secret half of the intent | is read from the intent |
 * | since when something is wrong | every replica has watched it since it began; a new one gives it that much more time |
 * | since when the cluster refuses | counts anew, up to the deadline of the spawn |
 * | when the time for starting is over | follows from the deadline in the intent, with a minute at least for a pod that is there |
 * | when pod and secrets were told to go | they are told once more |
 * | that a lab may be made, beside the others of its user | is judged again, by what the cluster shows |
 *
 * All times are of the monotonic clock, in milliseconds.
 */
export class Operation {
  readonly log: OperationLog;
  readonly username: string;
  #secrets: LabSecrets | null;
  #condition: LastingTrouble | null = null;
  #eventCondition: LastingTrouble | null = null;
  readonly #refusedSince = new Map<string, number>();
  #cleanupAskedAt: number | null = null;
  #begun = false;
  #ends: { readonly deadline: number; readonly at: number; readonly notBefore: number } | null = null;

  constructor(log: OperationLog, username: string, secrets: LabSecrets | null) {
    this.log = log;
    this.username = username;
    this.#secrets = secrets;
  }

  /** The secret half of the intent, until the operation has ended; null until it was read from the cluster. */
  get secrets(): LabSecrets | null {
    return this.#secrets;
  }

  keepSecrets(secrets: LabSecrets): void {
    if (!this.log.ended) this.#secrets = secrets;
  }

  /** What keeps the pod from running, as it says itself. */
  notePod(pod: ObservedPod | undefined, at: number): void {
    if (pod !== undefined) this.#condition = troubleFor(findTrouble(pod), this.#condition, at);
  }

  /** What an event of Kubernetes says about the pod, and what it means if it is bad. */
  noteEvent(text: string, trouble: Trouble | undefined, at: number): void {
    this.#eventCondition = troubleFor(trouble, this.#eventCondition, at);
    this.log.step(text, POD_EVENTS_PROGRESS);
  }

  /** What is wrong now, and for how long. */
  condition(at: number): (Trouble & { readonly forMs: number }) | null {
    const condition = this.#condition ?? this.#eventCondition;
    return condition === null ? null : { ...condition, forMs: at - condition.since };
  }

  /** For how long the cluster has refused the lab for this reason. */
  refusedFor(reason: string, at: number): number {
    const since = this.#refusedSince.get(reason) ?? at;
    this.#refusedSince.set(reason, since);
    return at - since;
  }

  /** The cluster has taken it: what it refuses from now on, it refuses anew. */
  noteAccepted(): void {
    this.#refusedSince.clear();
  }

  /**
   * What is left until a deadline that the cluster has, in milliseconds. The clock of the wall is asked once, at the first look;
   * from then on it may jump. It may also be ahead of the one that has set the deadline: a pod that is starting is given a
   * minute from the first look on, or all of the time where that is less. A lab without one may have run for days.
   */
  timeLeft(intent: ObservedIntent, { hasPod, clockSkew, now, at }: Look): number {
    const { deadline } = labSpecOf(intent);
    if (this.#ends?.deadline !== deadline) {
      const whole = intent.spec.deadline - intent.spec.createdAt;
      const left = Math.min(deadline + clockSkew - now, whole + clockSkew);
      this.#ends = { deadline, at: at + left, notBefore: at + Math.min(whole, LEAST_MS) };
    }
    const { at: end, notBefore } = this.#ends;
    return (hasPod ? Math.max(end, notBefore) : end) - at;
  }

  /** What `decide` has to know of this lab beside what the cluster says. */
  memoryOf(lab: WantedLab, { podSeen, ...look }: Omit<Look, 'hasPod'> & { readonly podSeen: boolean }): LabMemory {
    const left = this.timeLeft(lab.intent, { ...look, hasPod: currentPod(lab) !== undefined });
    return { podSeen, trouble: this.condition(look.at), left };
  }

  /** Whether this process has found that the lab may be made: from then on it counts against what its user may have. */
  get isBegun(): boolean {
    return this.#begun;
  }

  noteBegun(): void {
    this.#begun = true;
  }

  isCleanupDue(at: number): boolean {
    return this.#cleanupAskedAt === null || at - this.#cleanupAskedAt >= CLEANUP_AGAIN_MS;
  }

  /** @param at null: nothing was told to go yet */
  noteCleanup(at: number | null): void {
    this.#cleanupAskedAt = at;
  }

  /** The terminal event. Only the first one counts. */
  end(type: 'complete' | 'failed', message: string): void {
    this.#secrets = null;
    this.log.end(type, message);
  }

  /**
   * Tells the readers of a spawn why there will be no lab. A spawn that has come up has ended already. The last event says it again: some
   * show that one only, as Nublado's plugin does where a start has failed.
   */
  fail({ message }: Finding): void {
    this.log.error(message);
    this.end('failed', `Lab spawn failed: ${message}`);
  }
}

/** The operations of all labs, by slug. */
export class Operations {
  readonly #current = new Map<string, Operation>();
  readonly #ended = new Map<string, Operation>();
  readonly #secrets = new Map<string, LabSecrets>();

  get(slug: string): Operation | undefined {
    return this.#current.get(slug);
  }

  /** The current operation, or the last one of a lab that is gone. */
  last(slug: string): Operation | undefined {
    return this.#current.get(slug) ?? this.#ended.get(slug);
  }

  /**
   * Keeps the secret half of an intent while it is being written: the watch may tell of it before the answer to the write
   * is here, and the reconciler need not read it back. `write` is the writing.
   */
  async keepSecrets<T>(spawnId: string, secrets: LabSecrets, write: () => Promise<T>): Promise<T> {
    this.#secrets.set(spawnId, secrets);
    try {
      return await write();
    } finally {
      this.#secrets.delete(spawnId);
    }
  }

  /**
   * The operation of this kind on this spawn. It begins here if this process does not know it: right after the request,
   * after a restart, or where another replica was asked. Readers of the one before get their terminal event.
   */
  resume(kind: OperationKind, { slug, username, spawnId }: Subject): Operation {
    const before = this.#current.get(slug);
    if (before?.log.kind === kind && before.log.spawnId === spawnId) return before;
    if (before !== undefined) endUnseen(before);
    const secrets = kind === 'spawn' ? (this.#secrets.get(spawnId) ?? null) : null;
    const operation = new Operation(new OperationLog(kind, spawnId), username, secrets);
    if (kind === 'spawn') operation.log.info(`Starting lab creation for ${username}`, 1);
    this.#current.set(slug, operation);
    this.#ended.delete(slug);
    return operation;
  }

  /** The lab is gone: readers who still wait get their terminal event, and only the log stays, for a while. */
  finish(slug: string): void {
    const operation = this.#current.get(slug);
    if (operation === undefined) return;
    if (operation.log.kind === 'delete') endDelete(operation);
    else operation.end('failed', `The lab of ${operation.username} does not exist any more`);
    this.#current.delete(slug);
    this.#ended.set(slug, operation);
    const oldest = this.#ended.keys().next().value;
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }
}

/** Another operation has followed. Nothing but its end leads out of a delete. */
function endUnseen(operation: Operation): void {
  if (operation.log.kind === 'delete') endDelete(operation);
  else operation.end('failed', 'Operation cancelled');
}

function endDelete(operation: Operation): void {
  const message = `Lab for ${operation.username} deleted`;
  operation.log.info(message, 100);
  operation.end('complete', message);
}

/** What an operation on this lab is about. */
export function subjectOf({ slug, spec }: ObservedIntent): Subject {
  return { slug, username: spec.user.username, spawnId: spec.spawnId };
}
