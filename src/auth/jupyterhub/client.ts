import PQueue from 'p-queue';
import { LabwrightError } from '../../domain/errors.ts';
import { withDeadline } from '../../util/deadline.ts';
import { createHttpClient, type HttpAnswer, type HttpClient } from '../http-client.ts';

/** Asks a JupyterHub's API, a few questions at a time: the hub is one thread, and has spawns to do. */
export interface HubClient {
  /**
   * What the hub says, with 200, 401, 403 or 404. Everything else is no answer about anybody.
   *
   * @param path below the API, with every part percent-encoded: `/user`
   * @throws {LabwrightError} `bad_gateway` (502) when the hub does not answer, or answers with anything else;
   * `not_ready` (503) when too many questions wait already
   */
  get(path: string, token: string): Promise<HttpAnswer>;
  /** Questions under way and those that wait end with an error. */
  close(): Promise<void>;
}

export interface HubClientOptions {
  /** `http://hub:8081/hub/api`, without a slash at the end. */
  readonly apiUrl: string;
  readonly http?: HttpClient;
  /** Questions at once. */
  readonly concurrency?: number;
  /** Questions that wait for their turn. */
  readonly waiting?: number;
  /** For one question with its wait, in milliseconds. */
  readonly deadlineMs?: number;
}

const CONCURRENCY = 8;
const WAITING = 1000;
const DEADLINE_MS = 15_000;
const ANSWERS: ReadonlySet<number> = new Set([200, 401, 403, 404]);

export function createHubClient(options: HubClientOptions): HubClient {
  const { apiUrl, http = createHttpClient(), waiting = WAITING, deadlineMs = DEADLINE_MS } = options;
  const queue = new PQueue({ concurrency: options.concurrency ?? CONCURRENCY });
  let closed = false;

  async function ask(path: string, token: string): Promise<HttpAnswer> {
    const question = () => {
      if (closed) throw new Error('the program is stopping');
      return http.get(`${apiUrl}${path}`, { authorization: `Bearer ${token}` });
    };
    try {
      return await withDeadline({ ms: deadlineMs }, (signal) => queue.add(question, { signal }));
    } catch (cause) {
      throw noAnswer(cause);
    }
  }

  return {
    async get(path, token) {
      if (queue.size >= waiting) {
        const message = 'JupyterHub is asked too much at the moment; try again';
        throw new LabwrightError('not_ready', 503, message, { retryAfter: 2 });
      }
      const answer = await ask(path, token);
      if (!ANSWERS.has(answer.status)) throw noAnswer(new Error(`JupyterHub answered ${answer.status}`));
      return answer;
    },
    close: async () => {
      closed = true;
      await http.close();
    },
  };
}

/**
 * The hub said nothing that can be used. That is never taken for a refusal.
 *
 * @param cause for the log; it holds no credential
 */
export function noAnswer(cause: unknown): LabwrightError {
  return new LabwrightError('bad_gateway', 502, 'JupyterHub does not answer as it should; try again later', { cause });
}
