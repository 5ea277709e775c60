import { BuildProblem } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';

/** Reads something of a request; what cannot be read is the caller's fault, at that place of the request. */
export function reading<T>(loc: readonly string[], read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BuildProblem)) throw error;
    throw new LabwrightError('invalid_repository', 422, error.message, { loc, cause: error });
  }
}

/** One answer to an id that never was, that is no id, and that is forgotten. */
export function unknownBuild(cause?: unknown): LabwrightError {
  return new LabwrightError('unknown_build', 404, 'Unknown build', { loc: ['path', 'id'], cause });
}

/** The answer of every route where no builds are configured. */
export function noBuilds(): LabwrightError {
  return new LabwrightError('not_found', 404, 'Building images is not configured here');
}
