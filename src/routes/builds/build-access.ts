import type { Identity } from '../../auth/identity.ts';
import type { BuildState } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { BuildService } from '../../reconcile/builds/build-service.ts';
import { noBuilds } from './build-errors.ts';

/**
 * In whose name a caller asks. A hub or a service that names nobody asks in its own: a slash is in the name of no user, so
 * that nobody is taken for it.
 */
export function requesterOf({ role, subject, username }: Identity): string {
  return username ?? `${role}/${subject}`;
}

/** Whether a caller may act for this user. */
export function actsFor(identity: Identity, username: string): boolean {
  return identity.role !== 'user' || identity.username === username;
}

/** @throws {LabwrightError} `permission_denied` (403) where somebody asks for another */
export function requireActsFor(identity: Identity, username: string): void {
  if (!actsFor(identity, username)) throw new LabwrightError('permission_denied', 403, 'Permission denied');
}

/** @throws {LabwrightError} `permission_denied` (403) where a user wants to end what another asked for */
export function requireRequester(identity: Identity, { spec }: BuildState): void {
  if (actsFor(identity, spec.requestedBy)) return;
  throw new LabwrightError('permission_denied', 403, 'Only who asked for a build first can cancel it');
}

/**
 * The builds, once all of them are known: before that, a 404 would say that there is no build where there is one.
 *
 * @throws {LabwrightError} `not_found` (404) where none are configured, `not_ready` (503)
 */
export async function readyBuilds(builds: BuildService | undefined): Promise<BuildService> {
  if (builds === undefined) throw noBuilds();
  await builds.ready();
  return builds;
}
