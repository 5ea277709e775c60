import type { V1Pod } from '@kubernetes/client-node';

/** How a container ended by itself, or when it was told to. */
export interface Exit {
  /** 128 and the number of the signal for a process that was ended by one. */
  readonly exitCode: number;
  /** Its last words, where there are any. */
  readonly message?: string;
}

/** How a container stands that was started by a kubelet before this one. */
export type Found = 'running' | 'lost';

/** The first container of one pod, as the pod's worker sees it. */
export interface PodContainer {
  /** @throws ContainerProblem when it cannot be made or started */
  start(pod: V1Pod, signal: AbortSignal): Promise<void>;
  /** Takes over what an earlier kubelet started, as far as that can be had. */
  resume(pod: V1Pod, signal: AbortSignal): Promise<Found>;
  /**
   * Waits until it listens.
   *
   * @param onFailedProbe called once when it does not listen at the first look, with what a kubelet says then
   * @returns false when it has ended instead
   */
  ready(onFailedProbe: (message: string) => Promise<void>, signal: AbortSignal): Promise<boolean>;
  /** Waits until it ends by itself, for ever if need be. */
  end(signal: AbortSignal): Promise<Exit>;
  /** Asks it to end, and ends it when it still runs after the grace. */
  stop(graceMs: number, signal: AbortSignal): Promise<Exit>;
  /** Ends it at once, and everything that belongs to it. Can be called at any time and more than once. */
  kill(): Promise<void>;
}

/** That which runs the containers of a kubelet's pods. */
export interface Containers {
  /** Whether something runs that takes its own time; a simulation can leave stages out. */
  readonly real: boolean;
  /** A container that is not started yet, for the pod with this address. */
  at(podIP: string): PodContainer;
}

/** Why a container cannot be made (`config`) or its command not be started (`start`); the message is the kubelet's. */
export class ContainerProblem extends Error {
  override readonly name = 'ContainerProblem';
  readonly stage: 'config' | 'start';

  constructor(stage: 'config' | 'start', message: string, options?: ErrorOptions) {
    super(message, options);
    this.stage = stage;
  }
}
