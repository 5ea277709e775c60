/** How long each stage of a pod takes, in milliseconds. */
export interface Delays {
  /** Until the scheduler has found a node. */
  readonly schedule: number;
  /** Each init container. */
  readonly init: number;
  readonly pull: number;
  /** From the pulled image to the running container. */
  readonly start: number;
  /** From the running container to the listening server. */
  readonly ready: number;
  /** A build, from its first line to its last. */
  readonly build: number;
  /** From the delete to the end, at most the pod's grace. */
  readonly stop: number;
}

/** For tests and benchmarks, and for a person who watches. */
export const DELAYS = {
  instant: { schedule: 0, init: 0, pull: 0, start: 0, ready: 0, build: 0, stop: 0 },
  lively: { schedule: 100, init: 300, pull: 700, start: 200, ready: 500, build: 4_000, stop: 300 },
} as const satisfies Record<string, Delays>;

/** Without any delay the stages between are left out too: one binding, one status. */
export function isInstant(delays: Delays): boolean {
  return Object.values(delays).every((delay) => delay === 0);
}
