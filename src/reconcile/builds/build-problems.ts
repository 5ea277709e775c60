import { type ErrorCode, LabwrightError } from '../../domain/errors.ts';
import type { Reason } from '../../domain/lab/reasons.ts';
import type { Problem } from '../../domain/problem.ts';

const RETRY_AFTER_S = 10;

/** What the caller of the API is told, by reason. Anything else is a fault between Labwright and the cluster. */
const ANSWERS: Partial<Record<Reason, readonly [ErrorCode, number]>> = {
  RepositoryInvalid: ['invalid_repository', 422],
  RepositoryNotAllowed: ['repository_not_allowed', 403],
  RepositoryNotFound: ['unknown_repository', 404],
  RefNotFound: ['unknown_repository', 404],
  CertificateNotTrusted: ['repository_unavailable', 503],
  RateLimited: ['repository_unavailable', 503],
  RepositoryUnavailable: ['repository_unavailable', 503],
  RegistryUnavailable: ['registry_unavailable', 503],
  RegistryDenied: ['registry_unavailable', 503],
  QueueFull: ['build_limit', 429],
};

/** A problem with what was asked for, as an answer to the request. */
export function answerProblem(problem: Problem): LabwrightError {
  const [code, status] = ANSWERS[problem.reason] ?? (['not_ready', 503] as const);
  const seconds = problem.retryAfterMs === undefined ? RETRY_AFTER_S : Math.ceil(problem.retryAfterMs / 1000);
  return new LabwrightError(code, status, problem.message, {
    cause: problem,
    ...(status === 503 || status === 429 ? { retryAfter: seconds } : {}),
  });
}
