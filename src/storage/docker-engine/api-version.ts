import { EngineError } from './engine-error.ts';

/** What an engine says of itself, and the version of its API that we speak with it. */
export interface EngineVersion {
  /** `1.47`: the first part of each path. */
  readonly api: string;
  /** Podman knows user namespaces per container; Docker has them for the whole engine or not at all. */
  readonly isPodman: boolean;
}

/** The newest version that this client was written for (Docker 27) and the oldest it works with (Docker 20.10, Podman 4). */
const NEWEST = '1.47';
const OLDEST = '1.41';

/**
 * The newest version that both sides know.
 *
 * @param answer of `GET /version`
 * @throws {EngineError} there is none
 */
export function negotiate(answer: unknown): EngineVersion {
  const { ApiVersion, MinAPIVersion, Components } = (answer ?? {}) as Record<string, unknown>;
  if (typeof ApiVersion !== 'string' || !/^\d+\.\d+$/.test(ApiVersion)) {
    throw new EngineError(0, 'what answers is not a Docker-compatible engine');
  }
  const api = isOlder(ApiVersion, NEWEST) ? ApiVersion : NEWEST;
  const oldestThere = typeof MinAPIVersion === 'string' ? MinAPIVersion : OLDEST;
  if (isOlder(api, OLDEST) || isOlder(api, oldestThere)) {
    throw new EngineError(
      0,
      `the engine speaks versions ${oldestThere} to ${ApiVersion} of the API, Labwright ${OLDEST} to ${NEWEST}`,
    );
  }
  const names = Array.isArray(Components) ? Components.map((part) => (part as { Name?: unknown }).Name) : [];
  return { api, isPodman: names.includes('Podman Engine') };
}

function isOlder(one: string, other: string): boolean {
  const [major = 0, minor = 0] = one.split('.').map(Number);
  const [otherMajor = 0, otherMinor = 0] = other.split('.').map(Number);
  return major === otherMajor ? minor < otherMinor : major < otherMajor;
}
