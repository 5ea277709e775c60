import type { LabSpec } from './lab.ts';
import type { ObservedPod } from './pod.ts';
import type { Finding } from './reasons.ts';

/** Why a lab ended, as it is kept for the administrators. */
export interface LabFailure extends Finding {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** `terminated` when the lab ended by itself and without an error. */
  readonly status: 'failed' | 'terminated';
}

/** The build that makes the image of a lab. */
export interface LabBuild {
  readonly id: string;
  /** The commit that the ref stood for when the lab was asked for. */
  readonly commit: string;
}

/** The image of a lab that was asked for by its repository. */
export interface LabBuiltImage {
  /** `repository@sha256:…` */
  readonly reference: string;
  readonly digest: string;
  /** When it was there; milliseconds since the epoch. From here on the lab has its time for starting. */
  readonly at: number;
}

/** What is kept of an intent: all of it but the secrets. */
export interface ObservedIntent {
  readonly slug: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly spec: LabSpec;
  /** Whether what was asked for cannot be read: `spec` says then whose lab it is, and no more. Such a lab is over. */
  readonly damaged: boolean;
  /** Set once the lab is to be deleted; there is no way back. */
  readonly deleting: boolean;
  /** Set once the lab is over without having been deleted. */
  readonly failure: LabFailure | null;
  /** Whether, after a failure, the pod and everything secret are gone. */
  readonly cleaned: boolean;
  /** The build that the lab waits for; null before there is one. */
  readonly build: LabBuild | null;
  /** The image that was built; null before it is there, and for a lab whose image was named. */
  readonly builtImage: LabBuiltImage | null;
  /** What the cluster has not done for the lab so far, and why; of no account once its pod is there. */
  readonly hindrance: Finding | null;
  /** When the signed token of the lab was last renewed, in milliseconds since the epoch; null when it never was. */
  readonly tokenRenewedAt: number | null;
}

export interface ObservedNamespace {
  readonly slug: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly username: string;
  readonly servername: string;
  readonly terminating: boolean;
  /** Hash over what stays in it when a lab ends; null when that is not known to be complete. */
  readonly specHash: string | null;
  /** Since when it is kept without a lab, in milliseconds since the epoch; null before its first lab has ended. */
  readonly keptSince: number | null;
  /** Whether it holds something to be kept for good. */
  readonly permanent: boolean;
}

/** The Service of a lab in a namespace that labs share: it is there from the first of a spawn's objects to the last. */
export interface ObservedService {
  readonly slug: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly spawnId: string;
}

/** Everything the cluster says about one lab at one moment. */
export interface ObservedLab {
  readonly intent: ObservedIntent | undefined;
  /** The namespace of its own; undefined where it has none, or shares one. */
  readonly namespace: ObservedNamespace | undefined;
  readonly pod: ObservedPod | undefined;
  /** Of a lab that nobody has asked for, in the namespace that labs share. */
  readonly service?: ObservedService | undefined;
}

/** A lab that somebody has asked for. */
export type WantedLab = ObservedLab & { readonly intent: ObservedIntent };

/** The same lab, where somebody has asked for it. */
export function asWanted({ intent, ...rest }: ObservedLab): WantedLab | undefined {
  return intent === undefined ? undefined : { intent, ...rest };
}

/** The pod of the spawn that the intent asks for; a pod of an earlier spawn is a leftover. */
export function currentPod({ intent, pod }: ObservedLab): ObservedPod | undefined {
  return pod !== undefined && pod.spawnId === intent?.spec.spawnId ? pod : undefined;
}

/** Whether the lab's server has come up and its pod is not on its way out. */
export function isRunning(pod: ObservedPod): boolean {
  return pod.phase === 'Running' && (pod.ready || pod.started) && !pod.terminating;
}

/** Whether the lab cannot be made yet, because its image is still to come. */
export function awaitsImage({ spec, builtImage }: Pick<ObservedIntent, 'spec' | 'builtImage'>): boolean {
  return spec.source !== undefined && builtImage === null;
}

/** The specification of the lab with the image it runs. */
export function labSpecOf({ spec, builtImage }: Pick<ObservedIntent, 'spec' | 'builtImage'>): LabSpec {
  if (builtImage === null) return spec;
  const { reference, digest, at } = builtImage;
  return {
    ...spec,
    image: { ...spec.image, reference, digest },
    options: { ...spec.options, image: reference },
    deadline: at + (spec.deadline - spec.createdAt),
  };
}
