import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LogPosition } from '../../../src/storage/kubernetes/log/container-log.ts';

export interface Written {
  /** Nanoseconds since the epoch. */
  readonly at: bigint;
  readonly text: string | Buffer;
}

/** What happens to one connection after so many bytes: it breaks, or, where it follows, ends as if the log were over. */
export interface Fate {
  readonly after: number;
  readonly how: 'reset' | 'end';
}

/** RFC 3339 with nine digits, as the kubelet writes it. */
export function timeOf(at: bigint): string {
  const seconds = new Date(Number(at / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${(at % 1_000_000_000n).toString().padStart(9, '0')}Z`;
}

/**
 * The log of a container as a kubelet serves it: from a whole second on, and as it grows for whoever follows. It is
 * written by `write` and over with `finish`.
 */
export class FakeLog {
  readonly positions: LogPosition[] = [];
  /** The next connections; those after them are good. */
  fates: Fate[] = [];
  /** Bytes at once. */
  chunk = 64 * 1024;
  readonly #ended = new AbortController();
  /** Lines at the beginning that the kubelet has removed. */
  vanished = 0;
  readonly #written: Written[] = [];
  readonly #followers = new Set<() => void>();

  /** Aborts when the container has ended. */
  get over(): AbortSignal {
    return this.#ended.signal;
  }

  get connections(): number {
    return this.positions.length;
  }

  write(...lines: Written[]): void {
    this.#written.push(...lines);
    this.#wake();
  }

  finish(): void {
    this.#ended.abort();
    this.#wake();
  }

  readonly open = (position: LogPosition, signal: AbortSignal): Promise<Readable> => {
    this.positions.push(position);
    const body = new Readable({ read: () => undefined });
    void this.#send(body, position, this.fates.shift());
    signal.addEventListener('abort', () => body.destroy(), { once: true });
    return Promise.resolve(body);
  };

  async #send(body: Readable, { since, follow }: LogPosition, fate: Fate | undefined): Promise<void> {
    let left = fate?.after ?? Number.POSITIVE_INFINITY;
    const from = since === null ? 0n : BigInt(Math.floor(Date.parse(since) / 1000)) * 1_000_000_000n;
    for (let next = this.vanished; !body.destroyed;) {
      const ready = this.#written.slice(next).filter(({ at }) => at >= from);
      next = this.#written.length;
      const bytes = Buffer.concat(ready.map(lineOf));
      for (let at = 0; at < bytes.length && left > 0; at += this.chunk) {
        const piece = bytes.subarray(at, at + Math.min(this.chunk, left));
        left -= piece.length;
        body.push(piece);
      }
      if (left <= 0 && (fate?.how === 'reset' || !follow)) {
        // What is on its way still arrives.
        await nextTurn();
        body.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
        return;
      }
      if (left <= 0 || ((!follow || this.over.aborted) && next === this.#written.length)) {
        body.push(null);
        return;
      }
      if (next === this.#written.length) await this.#change();
    }
  }

  #wake(): void {
    for (const wake of this.#followers) wake();
    this.#followers.clear();
  }

  #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#followers.add(resolve);
    return promise;
  }
}

function lineOf({ at, text }: Written): Buffer {
  return Buffer.concat([Buffer.from(`${timeOf(at)} `), Buffer.from(text as string), Buffer.from('\n')]);
}
