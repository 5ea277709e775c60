import type { LabSecrets } from '../../domain/lab/lab.ts';
import type { ObservedIntent } from '../../domain/lab/observed.ts';
import type { Trouble } from '../../domain/lab/reasons.ts';
import { OperationLog, type OperationKind } from './operation-log.ts';

/** How many ended operations of labs that are gone are remembered for late readers. */
const REMEMBERED = 1_000;

export type LastingTrouble = Trouble & { readonly since: number };

/** What is wrong now, and since when: from the start of the same complaint where it was there before. */
export function troubleFor(
  trouble: Trouble | undefined,
  before: LastingTrouble | null,
  now: number,
): LastingTrouble | null {
  if (trouble === undefined) return null;
  return { ...trouble, since: before?.reason === trouble.reason ? before.since : now };
}

/**
 * What this process remembers of a lab's current or last operation. All of it can be lost: the cluster has what is needed
 * to go on, this only saves calls and tells readers what has happened so far.
 */
export interface Operation {
  readonly log: OperationLog;
  readonly username: string;
  /** The secret half of the intent, from the request; null after a restart, until it is read from the cluster. */
  secrets: LabSecrets | null;
  /** The pod of this spawn that has been seen: if it is not there any more, somebody deleted it. */
  podUid: string | null;
  /** What the pod has been complaining about, and since when in milliseconds since the epoch. */
  trouble: LastingTrouble | null;
  /** The same for complaints that come as events. */
  eventTrouble: LastingTrouble | null;
  /** When the cluster first said that the quota is used up; milliseconds since the epoch. */
  quotaRefusedAt: number | null;
  /** When pod and secrets were told to go, in a delete or after a failure; milliseconds since the epoch. */
  cleanupAskedAt: number | null;
}

/** Which lab an operation is about. */
interface Subject {
  readonly slug: string;
  readonly username: string;
  readonly spawnId: string;
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
   * is here, and whoever makes the lab then need not read it back. `write` is the writing.
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
   * or after a restart. Readers of the one before get their terminal event.
   */
  resume(kind: OperationKind, { slug, username, spawnId }: Subject): Operation {
    const before = this.#current.get(slug);
    if (before?.log.kind === kind && before.log.spawnId === spawnId) return before;
    before?.log.end('failed', 'Operation cancelled');
    const operation: Operation = {
      log: new OperationLog(kind, spawnId),
      username,
      secrets: this.#secrets.get(spawnId) ?? null,
      podUid: kind === 'delete' ? (before?.podUid ?? null) : null,
      trouble: null,
      eventTrouble: null,
      quotaRefusedAt: null,
      cleanupAskedAt: null,
    };
    if (kind === 'spawn') operation.log.info(`Starting lab creation for ${username}`, 1);
    this.#current.set(slug, operation);
    this.#ended.delete(slug);
    return operation;
  }

  /** The lab is gone: readers who still wait get their terminal event, and only the log stays, for a while. */
  finish(slug: string): void {
    const operation = this.#current.get(slug);
    if (operation === undefined) return;
    const { log, username } = operation;
    if (log.kind === 'delete') {
      log.info(`Lab for ${username} deleted`, 100);
      log.end('complete', `Lab for ${username} deleted`);
    } else log.end('failed', `The lab of ${username} does not exist any more`);
    operation.secrets = null;
    this.#current.delete(slug);
    this.#ended.set(slug, operation);
    const oldest = this.#ended.keys().next().value;
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }
}

/** What an operation on this lab is about. */
export function subjectOf({ slug, spec }: ObservedIntent): Subject {
  return { slug, username: spec.user.username, spawnId: spec.spawnId };
}
