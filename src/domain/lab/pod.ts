import type { LabAddressing } from './internal-url.ts';

/**
 * What is kept of a container: the few fields that decide, out of the dozens that Kubernetes reports.
 */
export interface ObservedContainer {
  readonly name: string;
  /** Whether it has to end before the others begin; a sidecar among the init containers runs beside them. */
  readonly init: boolean;
  readonly restarts: number;
  /** `CrashLoopBackOff`, `ImagePullBackOff`, …, or null when it is not waiting. */
  readonly waiting: { readonly reason: string; readonly message: string } | null;
  readonly terminated: {
    readonly reason: string;
    readonly exitCode: number;
    readonly message: string;
    readonly finishedAt: number | null;
  } | null;
  /** Milliseconds since the epoch, or null when it does not run. */
  readonly runningSince: number | null;
  readonly imageDigest: string | null;
}

/** What the cluster says of how a pod goes. */
export interface EndingFacts {
  /** Whether it is being deleted, by us or by somebody else. */
  readonly terminating: boolean;
  /** When a pod that is being deleted should be gone at the latest, in milliseconds since the epoch. */
  readonly goneBy: number | null;
  /** Who has to do something before a deleted pod goes. */
  readonly finalizers: readonly string[];
}

/** What the cluster says of any pod. */
export interface PodFacts extends EndingFacts {
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  /** Condition `Ready`: it also turns false when the node is lost. */
  readonly ready: boolean;
  readonly node: string | null;
  readonly podIp: string | null;
  /** `status.reason`: `Evicted`, `NodeLost`, … */
  readonly reason: string | null;
  readonly message: string | null;
  /** Set while the scheduler finds no place. */
  readonly unschedulable: string | null;
  /** The reason of a `DisruptionTarget` condition: the pod is ended by preemption, eviction or a taint. */
  readonly disruption: string | null;
  readonly containers: readonly ObservedContainer[];
}

/** What is kept of a lab's pod. */
export interface ObservedPod extends PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The lab it is labelled with. */
  readonly slug: string;
  /** The spawn that made it. */
  readonly spawnId: string;
  /** Whether the lab's server has answered its startup probe: from then on it has started, whatever comes later. */
  readonly started: boolean;
  /** The cluster IP of the lab's Service, as noted on the pod; null where labs are not reached by it. */
  readonly serviceIp: string | null;
  /** How the lab is reached, as its pod was made. */
  readonly addressing: Partial<LabAddressing>;
}

/** The container in which the lab runs, in every pod that Labwright makes. */
export const LAB_CONTAINER = 'notebook';
