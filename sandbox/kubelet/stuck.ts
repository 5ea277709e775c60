/** Thrown inside of a worker to say that the pod has come as far as its faults, or what is wrong with it, let it. */
export class Stuck extends Error {}
