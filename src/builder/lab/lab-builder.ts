import type {
  KubernetesObject,
  V1ConfigMap,
  V1LimitRange,
  V1Namespace,
  V1NetworkPolicy,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1ResourceQuota,
  V1Secret,
  V1Service,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import type { Config, LabConfig } from '../../config/config.ts';
import { mergeLab, mergeLabs } from '../../config/merge-lab.ts';
import { layUnlimited, profileLayers } from '../../config/profile-layers.ts';
import { buildInternalUrl, type LabAddressing } from '../../domain/lab/internal-url.ts';
import type { LabImage, LabSpec, LabState } from '../../domain/lab/lab.ts';
import { recreateLabState } from '../../domain/lab/lab-state.ts';
import type { ObservedLab } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { addressingOf, type BuildContext, type LabInput } from './context.ts';
import { buildEnvSecret, buildLabSecret, buildPullSecret } from './environment.ts';
import {
  buildLimitRange,
  buildNamespace,
  buildResourceQuota,
  buildService,
  buildServiceAccount,
} from './namespace-objects.ts';
import { buildNetworkPolicy } from './network-policy.ts';
import { buildObjectNames, SPEC_HASH_ANNOTATION } from '../../domain/lab/object-names.ts';
import type { Occupant } from '../../domain/lab/placeholders.ts';
import { buildExtraObjects } from './extra-objects.ts';
import { personalize } from './personalize.ts';
import { placeOf } from './place.ts';
import { buildPod } from './pod.ts';
import { buildFiles } from './user-files.ts';
import { defined, hashOf } from '../values.ts';
import { buildPersistentVolumes, buildVolumeClaims } from './claims.ts';

export type { LabInput, LabSecretValues, PullSecretValues } from './context.ts';

/**
 * Everything one lab consists of. The optional ones are there when configuration, user or request ask for them. In a namespace that labs
 * share, a lab is its Secrets, its claims, its Service and its pod.
 */
export interface LabObjects {
  readonly namespace?: V1Namespace;
  readonly serviceAccount?: V1ServiceAccount;
  readonly envSecret: V1Secret;
  /** The token and the copied secrets; in a namespace that labs share, the files, too. */
  readonly secret?: V1Secret;
  readonly pullSecret?: V1Secret;
  readonly files?: V1ConfigMap;
  readonly volumeClaims: V1PersistentVolumeClaim[];
  /** What leads to file systems that are there; the claim of each has its place in `volumeClaims`. */
  readonly persistentVolumes?: V1PersistentVolume[];
  readonly limitRange?: V1LimitRange;
  readonly resourceQuota?: V1ResourceQuota;
  readonly networkPolicy?: V1NetworkPolicy;
  readonly service: V1Service;
  /** What the configuration has each lab made with; Secrets among them are made as those of the lab. */
  readonly extraObjects?: KubernetesObject[];
  readonly pod: V1Pod;
}

/**
 * Turns a lab's specification into its Kubernetes objects. Equal input gives equal objects: there is no clock, no chance
 * and no I/O in here, so that they can be printed, compared with a golden file and dry-run.
 */
export class LabBuilder {
  readonly #config: LabConfig;
  readonly #overlays: Config['overlays'];
  readonly #images: Config['images'];
  readonly #baseUrl: string;
  readonly #controller: string;
  readonly #addressing: LabAddressing;

  /** @param controller namespace of the controller, which is not a lab's */
  constructor(
    { lab, overlays, images, baseUrl }: Pick<Config, 'lab' | 'overlays' | 'images' | 'baseUrl'>,
    controller: string,
  ) {
    this.#config = lab;
    this.#overlays = overlays;
    this.#images = images;
    this.#baseUrl = baseUrl;
    this.#controller = controller;
    this.#addressing = addressingOf(lab);
  }

  /** Where a lab that is asked for now is to be. */
  placeOf(occupant: Occupant): Pick<LabSpec, 'namespace' | 'objectName'> {
    return placeOf(this.#config, this.#controller, occupant);
  }

  /** The URL of a lab's server as hub and proxy reach it; null while the address is not known yet. */
  buildInternalUrl(spec: LabSpec, pod: ObservedPod): string | null {
    return buildInternalUrl(spec, pod, this.#addressing);
  }

  /**
   * What the objects of a lab say about it.
   *
   * @param podSeen whether the pod of this spawn has been there: then one that is not there has been deleted
   * @param now milliseconds since the epoch; what only shows with time is not told without it
   * @returns undefined when there is no such lab
   */
  recreateLabState(observed: ObservedLab, podSeen = false, now?: number): LabState | undefined {
    return recreateLabState(observed, this.#addressing, podSeen, now);
  }

  /** All objects of a lab, in the form in which Kubernetes writes them back. */
  buildLab(input: LabInput): LabObjects {
    const key = { username: input.user.username, servername: input.lab.servername };
    const context: BuildContext = {
      ...input,
      config: this.#configOf(input),
      baseUrl: this.#baseUrl,
      controller: this.#controller,
      // Where it is was decided when the lab was asked for, whatever the configuration says by now.
      names: buildObjectNames(key, input.lab),
    };
    const extraObjects = buildExtraObjects(context);
    return {
      ...(input.lab.objectName === undefined ? buildStaying(context) : {}),
      volumeClaims: buildVolumeClaims(context),
      service: buildService(context),
      envSecret: buildEnvSecret(context),
      ...defined({ secret: buildLabSecret(context), pullSecret: buildPullSecret(context) }),
      ...(extraObjects.length === 0 ? {} : { extraObjects }),
      pod: buildPod(context),
    };
  }

  /** What its entry in the configuration has of its own. */
  #settingsOf({ origin, reference }: LabImage) {
    const { list, sources } = this.#images;
    const of = origin ?? reference;
    return [...list.filter((image) => image.reference === of), ...sources.filter(({ name }) => name === of)];
  }

  /**
   * The configuration of one lab: that of all labs, what its user, its size, its image and its profile have of their own, one over the
   * other, and the user in values.
   */
  #configOf({ user, lab }: LabInput): LabConfig {
    const names = new Set(lab.overlays);
    const { sizes, defaultSize, profiles } = this.#config;
    const isOwn = lab.profile?.ownSize === true;
    const over = mergeLabs(this.#config, [
      ...this.#overlays.filter(({ name }) => names.has(name)),
      ...sizes.filter(({ name }) => !isOwn && name === lab.options.size),
      ...this.#settingsOf(lab.image),
    ]);
    // Of the size that a profile begins with, what it has no limit of is left.
    const base = isOwn ? sizes.find(({ name }) => name === defaultSize)?.lab?.unlimited : undefined;
    const merged = profileLayers(profiles, lab.profile).reduce<LabConfig>(
      (all, layer) => ({ ...mergeLab(all, layer.lab ?? {}), unlimited: layUnlimited(all.unlimited, layer) }),
      base === undefined ? over : { ...over, unlimited: base },
    );
    return personalize(merged, { user, servername: lab.servername });
  }
}

/** What stays in a namespace of the lab's own when the lab ends. */
function buildStaying(context: BuildContext) {
  const persistentVolumes = buildPersistentVolumes(context);
  const staying = defined({
    namespace: buildNamespace(context),
    serviceAccount: buildServiceAccount(context),
    files: buildFiles(context),
    volumeClaims: buildVolumeClaims(context),
    persistentVolumes: persistentVolumes.length === 0 ? undefined : persistentVolumes,
    limitRange: buildLimitRange(context),
    resourceQuota: buildResourceQuota(context),
    networkPolicy: buildNetworkPolicy(context),
    service: buildService(context),
  });
  return { ...staying, namespace: withHash(staying.namespace, hashOf(staying)) };
}

/** A namespace kept from before is as it should be when it has this hash: nothing in it needs to be looked at. */
function withHash(namespace: V1Namespace, hash: string): V1Namespace {
  const { metadata } = namespace;
  return {
    ...namespace,
    metadata: { ...metadata, annotations: { ...metadata?.annotations, [SPEC_HASH_ANNOTATION]: hash } },
  };
}
