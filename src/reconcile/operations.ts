import type { LabSecrets } from '../domain/lab.ts';
import type { Trouble } from '../domain/reasons.ts';
import { OperationLog } from './operation-log.ts';

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
  /** The secret half of the intent, from the request; null after a restart, until it is read from the cluster. */
  secrets: LabSecrets | null;
  /** The pod of this spawn that has been seen: if it is not there any more, somebody deleted it. */
  podUid: string | null;
  /** What the pod has been complaining about, and since when in milliseconds since the epoch. */
  trouble: LastingTrouble | null;
  /** The same for complaints that come as events. */
  eventTrouble: LastingTrouble | null;
  /** When pod and secrets were told to go, in a delete or after a failure; milliseconds since the epoch. */
  cleanupAskedAt: number | null;
}

/** The operations of all labs, by slug. */
export class Operations {
  readonly #current = new Map<string, Operation>();
  readonly #ended = new Map<string, Operation>();

  get(slug: string): Operation | undefined {
    return this.#current.get(slug);
  }

  /** The current operation, or the last one of a lab that is gone. */
  last(slug: string): Operation | undefined {
    return this.#current.get(slug) ?? this.#ended.get(slug);
  }

  /** Begins a new operation; readers of the one before get their terminal event. */
  start(slug: string, kind: 'spawn' | 'delete', spawnId: string, secrets: LabSecrets | null = null): Operation {
    const before = this.#current.get(slug);
    before?.log.end('failed', 'Operation cancelled');
    const operation: Operation = {
      log: new OperationLog(kind, spawnId),
      secrets,
      podUid: kind === 'delete' ? (before?.podUid ?? null) : null,
      trouble: null,
      eventTrouble: null,
      cleanupAskedAt: null,
    };
    this.#current.set(slug, operation);
    this.#ended.delete(slug);
    return operation;
  }

  /** The operation of this kind and spawn; begun anew when this process does not know it, as after a restart. */
  resume(slug: string, kind: 'spawn' | 'delete', spawnId: string): Operation {
    const known = this.#current.get(slug);
    if (known?.log.kind === kind && known.log.spawnId === spawnId) return known;
    return this.start(slug, kind, spawnId);
  }

  /** The lab is gone: only its log stays, for a while. */
  forget(slug: string): void {
    const operation = this.#current.get(slug);
    if (operation === undefined) return;
    operation.secrets = null;
    this.#current.delete(slug);
    this.#ended.delete(slug);
    this.#ended.set(slug, operation);
    const oldest = this.#ended.keys().next().value;
    if (this.#ended.size > REMEMBERED && oldest !== undefined) this.#ended.delete(oldest);
  }
}
