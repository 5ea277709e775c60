import type { Finding } from './lab/reasons.ts';

export interface ProblemOptions extends ErrorOptions {
  readonly transient?: boolean;
  readonly retryAfterMs?: number;
}

/**
 * Something that is needed cannot be had from outside: a ref, a repository, an answer of a registry. Its message is for the
 * person who asked; it holds no credential and nothing of another party's body.
 */
export class Problem extends Error implements Finding {
  override readonly name: string = 'Problem';
  readonly reason: Finding['reason'];
  /** Whether the same may succeed later by itself. */
  readonly transient: boolean;
  /** Milliseconds after which it makes sense to try again, where somebody has said so. */
  readonly retryAfterMs: number | undefined;

  constructor({ reason, message }: Finding, options: ProblemOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.transient = options.transient ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}
