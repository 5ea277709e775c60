/** How a log is to be read; what is absent is not restricted. */
export interface LogQuery {
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** Milliseconds since the epoch. */
  readonly since?: number | undefined;
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
}

/** What the runtime writes into the log file in one go: a line, or a part of a long one. */
interface Entry {
  readonly time: string;
  /** Nanoseconds do not matter to anyone who asks from a moment on. */
  readonly ms: number;
  /** With its newline, if it ends a line. */
  readonly bytes: Buffer;
}

/** containerd cuts lines that are longer than this into several entries. */
const ENTRY_BYTES = 16_384;
/** The kubelet's `containerLogMaxSize`; what is older is gone. */
const LOG_BYTES = 10 * 1024 * 1024;
const NEWLINE = 10;

/**
 * The log of one container as a kubelet keeps and serves it: times are those of the entries, a line has the time of its first
 * one, and bytes are passed on as they are. A line is written when it is whole, too long, or when the container ends.
 */
export class ContainerLog {
  #entries: Entry[] = [];
  /** Number of the first entry that is still there. */
  #first = 0;
  #size = 0;
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;
  #last = 0n;
  readonly #waiting = new Set<() => void>();

  /** The container has written this. */
  append(bytes: Buffer): void {
    if (this.#ended) return;
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const newline = rest.subarray(0, ENTRY_BYTES).indexOf(NEWLINE);
      if (newline === -1 && rest.length < ENTRY_BYTES) break;
      const length = newline === -1 ? ENTRY_BYTES : newline + 1;
      this.#write(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    this.#rest = Buffer.from(rest);
    this.#wake();
  }

  /** The container is over: whoever follows comes to the end. */
  end(): void {
    if (this.#ended) return;
    if (this.#rest.length > 0) this.#write(this.#rest);
    this.#rest = Buffer.alloc(0);
    this.#ended = true;
    this.#wake();
  }

  /** The log's bytes, until its end or, without `follow`, until what is there. It ends early when `signal` aborts. */
  async *read(query: LogQuery, signal: AbortSignal): AsyncGenerator<Buffer> {
    let left = query.limitBytes ?? Number.POSITIVE_INFINITY;
    let next = this.#start(query.tailLines);
    let isNewLine = true;
    while (!signal.aborted) {
      const chunk: Buffer[] = [];
      next = Math.max(next, this.#first);
      for (; next < this.#first + this.#entries.length; next += 1) {
        const { time, ms, bytes } = this.#entries[next - this.#first]!;
        if (query.since !== undefined && ms < query.since) continue;
        if (query.timestamps && isNewLine) chunk.push(Buffer.from(`${time} `));
        chunk.push(bytes);
        isNewLine = bytes.at(-1) === NEWLINE;
      }
      const text = Buffer.concat(chunk).subarray(0, left);
      left -= text.length;
      if (text.length > 0) yield text;
      if (left === 0 || !query.follow) return;
      if (next < this.#first + this.#entries.length) continue;
      if (this.#ended) return;
      await this.#changed(signal);
    }
  }

  #start(tailLines: number | undefined): number {
    return tailLines === undefined ? this.#first : this.#first + Math.max(0, this.#entries.length - tailLines);
  }

  #write(bytes: Buffer): void {
    const { time, ms } = this.#now();
    this.#entries.push({ time, ms, bytes: Buffer.from(bytes) });
    this.#size += bytes.length;
    if (this.#size <= LOG_BYTES) return;
    // Half at once, as a rotated file goes.
    let dropped = 0;
    while (this.#size > LOG_BYTES / 2 && dropped < this.#entries.length - 1) {
      this.#size -= this.#entries[dropped]?.bytes.length ?? 0;
      dropped += 1;
    }
    this.#entries = this.#entries.slice(dropped);
    this.#first += dropped;
  }

  /** Every entry has a time of its own, as with a clock of nanoseconds. */
  #now(): { time: string; ms: number } {
    const now = BigInt(Date.now()) * 1_000_000n;
    this.#last = now > this.#last ? now : this.#last + 1n;
    const ms = Number(this.#last / 1_000_000n);
    const nanoseconds = String(this.#last % 1_000_000_000n).padStart(9, '0');
    return { time: `${new Date(ms).toISOString().slice(0, 19)}.${nanoseconds}Z`, ms };
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
