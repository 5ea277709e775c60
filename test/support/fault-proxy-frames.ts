import { StringDecoder } from 'node:string_decoder';
import { Transform, type TransformCallback } from 'node:stream';

/** What happens to the answer of one watch: after `frames` whole events, once; or to every event. */
export interface WatchFault {
  /** Events that pass before `then` happens. Default: `then` never happens. */
  readonly frames?: number;
  /**
   * - `truncate`: half of the next event, then the connection breaks.
   * - `reset`: the connection breaks between two events.
   * - `end`: a clean end, as after `timeoutSeconds`.
   * - `stall`: nothing more, though the connection stays: a silent server.
   * - `gone`: an ERROR event with code 410, then the end.
   * - `garbage`: a line that is not JSON, then everything goes on.
   */
  readonly then?: 'truncate' | 'reset' | 'end' | 'stall' | 'gone' | 'garbage';
  /** Every event arrives twice. */
  readonly duplicate?: boolean;
}

const GONE = JSON.stringify({
  type: 'ERROR',
  object: {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'too old resource version: 1 (2)',
    reason: 'Expired',
    code: 410,
  },
});

/** Applies a `WatchFault` to a stream of newline-delimited JSON. */
export class WatchFrames extends Transform {
  readonly #fault: WatchFault;
  readonly #reset: () => void;
  readonly #text = new StringDecoder('utf8');
  #passed = 0;
  #partial = '';
  /** Once true, nothing more goes through. */
  #over = false;

  /** @param reset breaks the client's connection */
  constructor(fault: WatchFault, reset: () => void) {
    super();
    this.#fault = fault;
    this.#reset = reset;
    this.#between();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const lines = (this.#partial + this.#text.write(chunk)).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.#frame(`${line}\n`);
    done();
  }

  /** A clean end of the server's is not passed on where the fault is that there is none. */
  override _flush(done: TransformCallback): void {
    if (!this.#over) done(null, this.#partial);
  }

  #frame(line: string): void {
    if (this.#over) return;
    if (this.#passed === this.#fault.frames && this.#fault.then === 'truncate') {
      this.#over = true;
      this.push(line.slice(0, line.length / 2));
      // What was pushed leaves first.
      setImmediate(this.#reset);
      return;
    }
    this.push(line);
    if (this.#fault.duplicate === true) this.push(line);
    this.#passed += 1;
    this.#between();
  }

  /** The faults that need no further event. */
  #between(): void {
    const { frames, then } = this.#fault;
    if (frames !== this.#passed || then === undefined || then === 'truncate') return;
    if (then === 'garbage') {
      this.push('{"type":"MODIFIED","object":{"kind"\n');
      return;
    }
    this.#over = true;
    if (then === 'gone') this.push(`${GONE}\n`);
    if (then === 'reset') setImmediate(this.#reset);
    else if (then !== 'stall') this.push(null);
  }
}
