import type { Repository } from '../build/build.ts';
import type { LabUser, Quota } from '../user/user.ts';

/** Identity of a lab: one server of one user. `servername` is `""` for the default server. */
export interface LabKey {
  readonly username: string;
  readonly servername: string;
}

/** Compute for one lab. `cpu` in cores, `memory` in bytes. */
export interface ResourceQuantity {
  readonly cpu: number;
  readonly memory: number;
}

export interface LabResources {
  readonly limits: ResourceQuantity;
  readonly requests: ResourceQuantity;
}

/** What was asked for, after validation: the part of a request that is shown again in the lab's state. */
export interface LabOptions {
  /** Name of the size, or of the profile where that says itself what the lab has. */
  readonly size: string;
  readonly enable_debug: boolean;
  readonly reset_user_env: boolean;
  /** The image as it runs: `registry/repository:tag` or with `@sha256:…`. */
  readonly image: string;
}

/** An image that a lab can run. */
export interface LabImage {
  /** As the container runs it. */
  readonly reference: string;
  /** For people: the name in the form. */
  readonly name: string;
  /** `sha256:…` when it is known, otherwise empty. */
  readonly digest: string;
  /** The reference that was asked for, where it is not offered any more and this image has taken its place. */
  readonly asked?: string;
  /** What of the configuration it is of, where that is not `reference`: a source by its name, or an image of the list. */
  readonly origin?: string;
}

/** A repository that a lab's image is built from. */
export interface LabSource {
  readonly repository: Repository;
  /** Branch, tag or commit. */
  readonly ref: string;
  /** Directory inside the repository; `""` is the whole. */
  readonly path: string;
}

/** What was chosen for one option of a profile: a choice by its name, what was written in, or a repository to build from. */
export type OptionChoice = { readonly choice: string } | { readonly writeIn: string } | { readonly repository: string };

/** The profile of a lab and what was chosen for its options, by name. */
export interface ChosenProfile {
  readonly name: string;
  readonly options: Readonly<Record<string, OptionChoice>>;
  /** There and true when the profile says itself what the lab has: then `options.size` is the name of the profile. */
  readonly ownSize?: true;
}

/**
 * Everything needed to make a lab except the secrets: the non-secret half of the durable intent.
 * It is written once, before the 201, and never changes while the lab lives.
 */
export interface LabSpec {
  /** Names this one spawn; a lab of the same name that is made later has another. */
  readonly spawnId: string;
  readonly user: LabUser;
  readonly servername: string;
  /** The namespace of this lab. Kept here, so that a lab is found again when the configured prefix changes. */
  readonly namespace: string;
  /**
   * Name of the pod and the Service of a lab in a namespace that labs share, and beginning of the names of what else it has there. Absent
   * for a lab with a namespace of its own. Kept here for the same reason.
   */
  readonly objectName?: string;
  readonly options: LabOptions;
  /** Without a reference as long as the image is to come from `source`. */
  readonly image: LabImage;
  /** There when the image is built from a repository, or found to be built already. */
  readonly source?: LabSource;
  /** Names of the overlays of the configuration that were for this user when the lab was asked for, in their order. */
  readonly overlays?: readonly string[];
  /** There when the lab was asked for by a profile. */
  readonly profile?: ChosenProfile;
  readonly resources: LabResources;
  /** Extended resources (`nvidia.com/gpu`) by name, as Kubernetes quantities; they are both request and limit. */
  readonly extendedResources: Readonly<Record<string, string>>;
  readonly quota: Quota | null;
  /** `JUPYTERHUB_SERVICE_PREFIX`, with a slash at both ends. */
  readonly servicePrefix: string;
  /**
   * Spawns that this one took the place of before what was left of them was removed. Absent in a lab from before its Secrets
   * were labelled with the spawn.
   */
  readonly earlierSpawns?: readonly string[];
  /** There and true when the lab's token is one that Labwright signs and renews. */
  readonly signedToken?: true;
  /** There and true when the intent was lost and written anew from the pod. What was secret in it is not known any more. */
  readonly adopted?: true;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch; a lab that does not run by then has failed. */
  readonly deadline: number;
}

/** The secret half of the intent: values that live in Secrets only. */
export interface LabSecrets {
  /** The environment the hub sent, verbatim. */
  readonly env: Readonly<Record<string, string>>;
  /** The credential handed on to the lab (`ACCESS_TOKEN`), or null. One that Labwright signs is made when it is needed. */
  readonly token: string | null;
}

/** Directory in a lab that holds the signed token, in a file that is replaced as the token is renewed. */
export const TOKEN_DIRECTORY = '/var/run/secrets/labwright';

/** The five words the Nublado plugin understands. */
export type LabStatus = 'pending' | 'running' | 'terminating' | 'terminated' | 'failed';

/** Where a lab's operation stands, for people and the rich API. */
export type LabPhase =
  | 'accepted'
  | 'building'
  | 'waiting_for_namespace'
  | 'creating'
  | 'scheduling'
  | 'pulling'
  | 'starting'
  | 'running'
  | 'deleting'
  | 'terminated'
  | 'failed';

/** What is known of one lab at this moment, derived from the cluster. */
export interface LabState {
  readonly spec: LabSpec;
  readonly status: LabStatus;
  readonly phase: LabPhase;
  /** A machine word from `domain/lab/reasons.ts` when something is wrong or is being waited for. */
  readonly reason: string | null;
  /** One sentence for the user that goes with `reason`. */
  readonly message: string | null;
  /** Where hub and proxy reach the lab; null while that is not known. */
  readonly internalUrl: string | null;
  readonly node: string | null;
  /** Digest of the running image as the kubelet reports it. */
  readonly imageDigest: string | null;
  readonly restarts: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
}

/** One entry of a lab's event stream. */
export interface LabEvent {
  /** Opaque to readers; sent back as `Last-Event-ID`. */
  readonly id: string;
  readonly type: 'info' | 'error' | 'complete' | 'failed';
  readonly message: string;
  /** 1 to 100; absent on error, complete and failed. */
  readonly progress?: number;
}
