/** How much is measured. */
export interface Plan {
  readonly repetitions: number;
  /** In flight, and how many labs. */
  readonly throughput: readonly (readonly [concurrency: number, labs: number])[];
  /** Labs whose calls are counted. */
  readonly counted: number;
  /** Deletes at once. */
  readonly rush: number;
  /** Numbers of labs that a starting controller finds, rising. */
  readonly recovery: readonly number[];
  /** Starts per number of labs. */
  readonly starts: number;
  /** Pods that vanish, are evicted, or have a bad image. */
  readonly surprises: number;
}

/** One line about how far it is. */
export type Progress = (line: string) => void;

export const FULL: Plan = {
  repetitions: 3,
  throughput: [
    [1, 60],
    [16, 200],
    [50, 300],
  ],
  counted: 10,
  rush: 400,
  recovery: [0, 50, 200, 1000, 5000],
  starts: 5,
  surprises: 20,
};

export const QUICK: Plan = {
  repetitions: 1,
  throughput: [
    [1, 20],
    [16, 80],
    [50, 100],
  ],
  counted: 3,
  rush: 100,
  recovery: [0, 50, 200],
  starts: 2,
  surprises: 5,
};
