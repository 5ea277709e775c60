/** Where the time comes from; tests give their own. */
export interface Clock {
  /** Milliseconds since the epoch: for what is written into the cluster or compared with what is read from it. */
  readonly now: () => number;
  /** Milliseconds since some moment, never going back: for durations that are only held in memory. */
  readonly monotonic: () => number;
}

export const SYSTEM_CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/**
 * How far the clocks of two replicas may be apart, in milliseconds. Times that one replica has written into the cluster and
 * another one compares with its own clock are given this much.
 */
export const SKEW_TOLERANCE_MS = 10_000;
