import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';

/** What is kept of one lab's output; the rest is read and thrown away. */
const LIMIT_BYTES = 16 * 2 ** 20;
/** What a kubelet takes of the output of a container that failed (`FallbackToLogsOnError`). */
const TAIL_BYTES = 2048;
const TAIL_LINES = 80;

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND | constants.O_NOFOLLOW;

/** The output of one lab: a file that its owner alone can read, and the last words of its standard error. */
export class LabLog {
  readonly #file: FileHandle;
  #room = LIMIT_BYTES;
  #tail = Buffer.alloc(0);

  /** Begins it anew. @throws Error of the file system */
  static async open(path: string): Promise<LabLog> {
    const file = await open(path, FLAGS, 0o600);
    // It may be there from before, with another mode.
    await file.chmod(0o600);
    return new LabLog(file);
  }

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Takes everything from the stream until it ends, no faster than the disk; never throws. */
  async follow(stream: Readable, kind: 'stdout' | 'stderr'): Promise<void> {
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        if (kind === 'stderr') this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
        await this.#write(chunk);
      }
    } catch {
      // It was destroyed.
    }
  }

  /** The last words, as much of them as a kubelet shows. */
  get lastWords(): string {
    // A character that was cut in two is left out.
    const text = this.#tail.toString().replace(/^\uFFFD+/, '');
    return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #write(chunk: Buffer): Promise<void> {
    const fitting = chunk.subarray(0, this.#room);
    if (fitting.length === 0) return;
    this.#room -= fitting.length;
    // A full disk must not hold the lab up.
    await this.#file.write(fitting).catch(() => undefined);
  }
}
