import { randomBytes } from 'node:crypto';
import type { LabEvent } from '../../domain/lab/lab.ts';

export type OperationKind = 'spawn' | 'delete';

/** What is kept of one operation: far more than a lab ever produces, far less than hurts. */
const MAX_EVENTS = 300;

/** Tells the events of this process from those of one before it and of other replicas. */
const EPOCH = randomBytes(8).toString('hex');

/** A position in a stream, as a reader sends it back. */
export interface Position {
  readonly spawnId: string;
  readonly kind: OperationKind;
  readonly epoch: string;
  readonly sequence: number;
  readonly progress: number;
}

/**
 * The events of one operation, from its start to its one terminal event, for any number of readers.
 *
 * Readers hold a place in the list and nothing else: one that is slow or gone costs nothing. Progress never goes back.
 *
 * Event ids say which operation, which process and how far, so that a reader that comes back after a restart of the
 * controller is served: what the new process knows is told from its start, less what is not beyond the progress that the
 * reader has already seen.
 */
export class OperationLog {
  readonly kind: OperationKind;
  readonly spawnId: string;
  readonly #events: LabEvent[] = [];
  readonly #wake = new Set<() => void>();
  #progress = 0;
  #sequence = 0;
  #ended = false;

  constructor(kind: OperationKind, spawnId: string) {
    this.kind = kind;
    this.spawnId = spawnId;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Says something, once: what has been said already says nothing new.
   *
   * @param progress 1 to 100; a smaller one than before, or none, stays where it was
   */
  info(message: string, progress = this.#progress): void {
    if (this.#events.some((event) => event.message === message)) return;
    this.#progress = Math.max(this.#progress, Math.min(progress, 100));
    this.#append('info', message, this.#progress);
  }

  /** The same, a third of the way on towards `limit`: for events of which nobody knows how many will come. */
  step(message: string, limit: number): void {
    this.info(message, Math.floor(this.#progress + Math.max(0, limit - this.#progress) / 3));
  }

  error(message: string): void {
    this.#append('error', message);
  }

  /** The terminal event. Only the first one counts. */
  end(type: 'complete' | 'failed', message: string): void {
    if (this.#ended) return;
    this.#append(type, message);
    this.#ended = true;
  }

  /** Everything after `lastEventId`, then what comes, until the terminal event or until `signal` aborts. */
  async *read(lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<LabEvent> {
    const { from, floor } = this.#resume(lastEventId);
    let next = from;
    while (!signal.aborted) {
      const event = this.#events[next];
      if (event !== undefined) {
        next += 1;
        if (isBeyond(event, floor)) yield event;
        if (isTerminal(event)) return;
      } else if (this.#ended) return;
      else await this.#change(signal);
    }
  }

  #append(type: LabEvent['type'], message: string, progress?: number): void {
    if (this.#ended) return;
    // The terminal event always finds room.
    if (this.#events.length >= MAX_EVENTS && type === 'info') return;
    this.#sequence += 1;
    const id = [this.spawnId, this.kind, EPOCH, this.#sequence, this.#progress].join('.');
    this.#events.push({ id, type, message, ...(progress === undefined || progress === 0 ? {} : { progress }) });
    for (const wake of this.#wake) wake();
  }

  #resume(lastEventId: string | undefined): { from: number; floor: number } {
    const position = parseEventId(lastEventId);
    if (position?.spawnId !== this.spawnId || position.kind !== this.kind) return { from: 0, floor: 0 };
    if (position.epoch !== EPOCH) return { from: 0, floor: position.progress };
    // Nobody waits for what cannot come: whoever has seen the end is told it once more.
    const last = this.#events.length - (this.#ended ? 1 : 0);
    return { from: Math.min(position.sequence, last), floor: 0 };
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#wake.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    this.#wake.delete(wake);
    signal.removeEventListener('abort', wake);
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

function isTerminal(event: LabEvent): boolean {
  return event.type === 'complete' || event.type === 'failed';
}
