import type { LabEvent } from '../../domain/lab/lab.ts';
import { type Entry, EventLog } from '../event-log.ts';

export type OperationKind = 'spawn' | 'delete';

/** Most events of one operation: far more than a lab ever produces. Errors have some room beyond it, the end always has. */
const MAX_EVENTS = 300;
const MAX_ERRORS = 100;

/** A position in a stream, as a reader sends it back. */
export interface Position {
  readonly spawnId: string;
  readonly kind: OperationKind;
  readonly epoch: string;
  readonly sequence: number;
  readonly progress: number;
}

type LabEntry = Entry & { readonly event: LabEvent };

/**
 * The events of one operation, from its start to its one terminal event, for any number of readers. Progress never goes back.
 *
 * Event ids say which operation, which log of it and how far. A reader that comes back to another replica, or to a process
 * that has been restarted, meets another log of the same operation: it is told what that one knows from its start, less what
 * is not beyond the progress that the reader has already seen, and always the end.
 */
export class OperationLog {
  readonly kind: OperationKind;
  readonly spawnId: string;
  readonly #log = new EventLog<LabEntry>();
  readonly #said = new Set<string>();
  #progress = 0;

  constructor(kind: OperationKind, spawnId: string) {
    this.kind = kind;
    this.spawnId = spawnId;
  }

  get ended(): boolean {
    return this.#log.ended;
  }

  /**
   * Says something, once: what has been said already says nothing new.
   *
   * @param progress 1 to 100; a smaller one than before, or none, stays where it was
   */
  info(message: string, progress = this.#progress): void {
    if (this.#said.has(message)) return;
    this.#progress = Math.max(this.#progress, Math.min(progress, 100));
    if (this.#log.last < MAX_EVENTS) this.#append('info', message, this.#progress);
  }

  /** The same, a third of the way on towards `limit`: for events of which nobody knows how many will come. */
  step(message: string, limit: number): void {
    this.info(message, Math.floor(this.#progress + Math.max(0, limit - this.#progress) / 3));
  }

  error(message: string): void {
    if (this.#log.last < MAX_EVENTS + MAX_ERRORS) this.#append('error', message);
  }

  /** The terminal event. Only the first one counts. */
  end(type: 'complete' | 'failed', message: string): void {
    this.#append(type, message);
  }

  /** Everything after `lastEventId`, then what comes, until the terminal event or until `signal` aborts. */
  async *read(lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<LabEvent> {
    const position = parseEventId(lastEventId);
    const isSame = position?.spawnId === this.spawnId && position.kind === this.kind;
    const from = isSame ? this.#log.after(position) : 1;
    const floor = isSame && from === undefined ? position.progress : 0;
    for await (const { event } of this.#log.follow(from ?? 1, signal)) if (isBeyond(event, floor)) yield event;
  }

  #append(type: LabEvent['type'], message: string, progress?: number): void {
    if (this.ended) return;
    this.#said.add(message);
    const make = (sequence: number): LabEntry => {
      const id = [this.spawnId, this.kind, this.#log.epoch, sequence, this.#progress].join('.');
      return {
        sequence,
        event: { id, type, message, ...(progress === undefined || progress === 0 ? {} : { progress }) },
      };
    };
    if (type === 'complete' || type === 'failed') this.#log.end(make);
    else this.#log.append(make);
  }
}

/** What an event id says, or undefined when it is none of ours. */
export function parseEventId(id: string | undefined): Position | undefined {
  const match = /^([\w-]{1,64})\.(spawn|delete)\.([0-9a-z]{1,16})\.(\d{1,9})\.(\d{1,3})$/.exec(id ?? '');
  if (match === null) return undefined;
  const [, spawnId = '', kind, epoch = '', sequence, progress] = match;
  return {
    spawnId,
    kind: kind as OperationKind,
    epoch,
    sequence: Number(sequence),
    progress: Number(progress),
  };
}

function isBeyond(event: LabEvent, floor: number): boolean {
  return event.progress === undefined || event.progress > floor || floor === 0;
}
