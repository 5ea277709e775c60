import type { V1Status, V1StatusDetails } from '@kubernetes/client-node';

/** What a call was about, for messages and logs. */
export interface Target {
  readonly verb: string;
  readonly kind: string;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/**
 * A call to the API server that did not succeed.
 *
 * `message` is for logs and administrators: it may hold what the API server said and is never shown to a user as it is.
 */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status, or 0 when there was no answer. */
  readonly status: number;
  /** `Status.reason` (`AlreadyExists`, `Forbidden`, …), or `NoAnswer`, `Timeout`. */
  readonly reason: string;
  readonly details: V1StatusDetails | undefined;
  readonly target: Target;
  /** What the API server said, without what the call was about. */
  readonly answer: string;
  /** What the API server asked us to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    target: Target,
    answer: {
      status: number;
      reason: string;
      message: string;
      details?: V1StatusDetails | undefined;
      retryAfterMs?: number | undefined;
    },
    options?: ErrorOptions,
  ) {
    super(`${target.verb} ${describe(target)}: ${answer.message}`, options);
    this.status = answer.status;
    this.reason = answer.reason;
    this.details = answer.details;
    this.answer = answer.message;
    this.target = target;
    this.retryAfterMs = answer.retryAfterMs;
  }

  /** Whether the same call may succeed later: no answer, too many requests, or trouble on the server's side. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Whether the API server refused because the namespace is on its way out (403 with this cause). */
  get isNamespaceTerminating(): boolean {
    return this.status === 403 && (this.details?.causes ?? []).some(({ reason }) => reason === 'NamespaceTerminating');
  }
}

export function isKubeError(error: unknown, status: number): error is KubeError {
  return error instanceof KubeError && error.status === status;
}

/**
 * Whether an object of that name is there. A create may also be answered with 409 `Conflict`, as when somebody else has
 * changed the quota that it counts on: that says nothing of the name, and passes.
 */
export function isAlreadyThere(error: unknown): boolean {
  return isKubeError(error, 409) && error.reason !== 'Conflict';
}

/**
 * Whether what a write was meant for is not there any more, or not as it was: gone (404), of another version (409), or
 * replaced by another of its name (a patch with a foreign uid is answered with 422, a delete with 409).
 */
export function isOutdated(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  if (error.status === 404 || error.status === 409) return true;
  return error.status === 422 && (error.details?.causes ?? []).some(({ field }) => field === 'metadata.uid');
}

function describe({ kind, namespace, name }: Target): string {
  const where = [namespace, name].filter((part) => part !== undefined).join('/');
  return where === '' ? kind : `${kind} ${where}`;
}

/** Turns an answer that is not 2xx into an error; a body that is no Status is reported without its content. */
export function errorFromAnswer(
  target: Target,
  status: number,
  body: string,
  retryAfter: string | string[] | undefined,
): KubeError {
  const answer = parseStatus(body);
  return new KubeError(target, {
    status,
    reason: answer?.reason ?? 'Unknown',
    message: answer?.message ?? `HTTP status ${status}`,
    details: answer?.details,
    retryAfterMs: parseRetryAfter(retryAfter) ?? secondsToMs(answer?.details?.retryAfterSeconds),
  });
}

function parseStatus(body: string): V1Status | undefined {
  try {
    const parsed = JSON.parse(body) as V1Status | null;
    return parsed !== null && typeof parsed === 'object' && parsed.kind === 'Status' ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** Retry-After in whole seconds; the API server never sends the date form. */
function parseRetryAfter(header: string | string[] | undefined): number | undefined {
  const value = Array.isArray(header) ? header[0] : header;
  return value !== undefined && /^\d{1,5}$/.test(value) ? Number(value) * 1000 : undefined;
}

function secondsToMs(seconds: number | undefined): number | undefined {
  return seconds === undefined || seconds <= 0 ? undefined : seconds * 1000;
}
