/** What is known of a node: only what decides about images on it. */
export interface PullNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** Cordoned. */
  readonly isUnschedulable: boolean;
  readonly isReady: boolean;
  readonly hasDiskPressure: boolean;
  /** Bytes that pods may take of its disk, images included; null when it does not say. */
  readonly ephemeralStorage: number | null;
  /** `amd64`; null when it does not say. */
  readonly architecture: string | null;
  /** Digests (`sha256:…`) of the images that it says it has: the largest ones, 50 unless its kubelet is set otherwise. */
  readonly digests: ReadonlySet<string>;
  /** When it came into the cluster, in milliseconds since the epoch. */
  readonly createdAt: number;
}

export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}
