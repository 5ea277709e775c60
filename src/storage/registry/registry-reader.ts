import { denied, unavailable } from './problems.ts';
import { RegistryConnection, type RegistryConnectionOptions, type RegistryReply } from './registry-connection.ts';
import { isOutage, retryAfterMs } from './registry-http.ts';

export interface ReadRequest {
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a work of several questions has: all of them end together. */
export interface ReadTime {
  readonly signal: AbortSignal;
  /** Moment of the monotonic clock. */
  readonly endsAt: number;
}

export interface Read extends RegistryReply {
  readonly hasCredential: boolean;
}

const RETRY = { attempts: 4, firstMs: 500, longestMs: 10_000, afterLate: true };

/** Reads of a registry for whoever is in no hurry: what may pass is asked again, with pauses, until the time is over. */
export class RegistryReader {
  readonly #connection: RegistryConnection;

  constructor(options: RegistryConnectionOptions) {
    this.#connection = new RegistryConnection(options);
  }

  get host(): string {
    return this.#connection.host;
  }

  /** Where the registry is asked now; what has answered once stays. */
  get address(): string {
    return this.#connection.address;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  within<T>(ms: number, signal: AbortSignal, work: (time: ReadTime) => Promise<T>): Promise<T> {
    return this.#connection.within(ms, signal, (either, endsAt) => work({ signal: either, endsAt }));
  }

  /**
   * One answer, which is none of an outage.
   *
   * @throws {RegistryProblem} after the last attempt
   */
  read(request: ReadRequest, { signal, endsAt }: ReadTime): Promise<Read> {
    return this.#connection.again({ ...RETRY, endsAt, signal }, async () => {
      const credential = await this.#connection.credential(request.repository, signal);
      const reply = await this.#connection.ask({ ...request, credential, signal });
      const { status, headers } = reply.answer;
      // Not implemented is what some say to HEAD, and will say again.
      if (isOutage(status) && status !== 501) {
        throw unavailable(this.host, `answers with ${status}`, { retryAfterMs: retryAfterMs(headers) });
      }
      return { ...reply, hasCredential: credential !== undefined };
    });
  }

  /** What an answer means that is none of those that were hoped for. */
  refusal({ answer: { status }, hasCredential }: Read): Error {
    if (status === 401 || status === 403) return denied(this.host, hasCredential);
    return unavailable(this.host, `answers with ${status}`, { transient: false });
  }
}
