import { LabwrightError } from '../../domain/errors.ts';

/** @param seconds after which it makes sense to ask again */
export function tooMany(seconds: number, message: string): LabwrightError {
  return new LabwrightError('too_many_requests', 429, message, { retryAfter: seconds });
}

/**
 * @param waitMs as a rate limiter says it
 * @throws {LabwrightError} `too_many_requests` (429) unless it is 0
 */
export function admit(waitMs: number): void {
  if (waitMs > 0) throw tooMany(Math.ceil(waitMs / 1000), 'Too many requests');
}
