import { textOf } from '../../util/http.ts';

/**
 * A request to an engine that failed. `message` may quote the engine: it is for the log, not for users.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  /** The HTTP status; 0 when there was no answer, and when one broke off. */
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

const LONGEST = 500;

/** The error that an answer is. Docker puts the text under `message`, Podman under `cause` as well. */
export function errorFromAnswer(what: string, status: number, body: string): EngineError {
  return new EngineError(status, `${what}: ${status} ${messageOf(body).slice(0, LONGEST)}`.trimEnd());
}

/** No answer, or a broken one. */
export function errorWithoutAnswer(what: string, cause: unknown): EngineError {
  if (cause instanceof EngineError) return cause;
  const text = cause instanceof Error ? textOf(cause) : '';
  return new EngineError(0, `${what}: ${text === '' ? 'no answer' : text}`, { cause });
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
