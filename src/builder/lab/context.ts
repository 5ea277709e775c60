import type { V1ObjectMeta } from '@kubernetes/client-node';
import type { LabConfig } from '../../config/config.ts';
import type { LabAddressing } from '../../domain/lab/internal-url.ts';
import { labelSlug } from '../../domain/lab/kubespawner-names.ts';
import type { LabImage, LabSpec } from '../../domain/lab/lab.ts';
import { CONTROLLER_LABEL, KIND_LABEL, LAB_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import type { LabUser } from '../../domain/user/user.ts';
import {
  KUBESPAWNER_USERNAME_ANNOTATION,
  LAB_KIND,
  SERVERNAME_ANNOTATION,
  SPAWN_LABEL,
  USERNAME_ANNOTATION,
  type LabObjectNames,
} from '../../domain/lab/object-names.ts';

/** The secret values that go into a lab. */
export interface LabSecretValues {
  /** The environment the hub sent, verbatim. */
  readonly env: Readonly<Record<string, string>>;
  /** The token handed on to the lab, or null. */
  readonly token: string | null;
  /** `lab.secrets` of the configuration as they were read: base64 by `secretKey`. */
  readonly data: Readonly<Record<string, string>>;
}

/** Registry credentials, copied as they are. */
export interface PullSecretValues {
  readonly type: string;
  /** Base64 by key. */
  readonly data: Readonly<Record<string, string>>;
}

/** Everything a lab is made from. */
export interface LabInput {
  readonly user: LabUser;
  readonly lab: LabSpec;
  readonly image: LabImage;
  readonly secrets: LabSecretValues;
  readonly pullSecret: PullSecretValues | null;
}

/** What the builders of the single objects share. */
export interface BuildContext extends LabInput {
  readonly config: LabConfig;
  readonly baseUrl: string;
  /** Namespace of the controller: what its objects are labelled with. */
  readonly controller: string;
  readonly names: LabObjectNames;
}

/** Whether the lab is in a namespace with others. */
export function isShared({ lab }: Pick<BuildContext, 'lab'>): boolean {
  return lab.objectName !== undefined;
}

/** The lab's service account. */
export function accountNameOf(context: Pick<BuildContext, 'config' | 'lab'>): string {
  return context.config.serviceAccount.name ?? (isShared(context) ? 'default' : 'lab');
}

/** How labs are reached that are made from this configuration. */
export function addressingOf({ internalUrl, port, clusterDomain }: LabConfig): LabAddressing {
  return { mode: internalUrl, port, clusterDomain };
}

/** Whether the lab has a limit of it: that of its size, where the configuration leaves it one, or where its user has a quota, which counts limits. */
export function isLimited({ config, lab }: BuildContext, what: 'cpu' | 'memory'): boolean {
  return lab.quota !== null || !config.unlimited.includes(what);
}

/** The labels that find a lab's objects; the NetworkPolicy and the Service select its pod by them. */
export function labLabels({ names }: Pick<BuildContext, 'names'>): Record<string, string> {
  return { [KIND_LABEL]: LAB_KIND, [LAB_LABEL]: names.slug };
}

/** The metadata of what a lab has for one spawn only: another spawn of the same lab is told from it by the label. */
export function spawnMetadata(context: BuildContext, name: string): V1ObjectMeta {
  const metadata = labMetadata(context, name);
  return { ...metadata, labels: { ...metadata.labels, [SPAWN_LABEL]: context.lab.spawnId } };
}

/**
 * The labels of KubeSpawner's pods with Zero to JupyterHub: dashboards, exporters of groups and tools for costs find servers by them.
 * The configuration may say otherwise.
 */
export function ecosystemLabels({ user, lab }: BuildContext): Record<string, string> {
  return {
    app: 'jupyterhub',
    component: 'singleuser-server',
    'app.kubernetes.io/component': 'singleuser-server',
    'hub.jupyter.org/username': labelSlug(user.username),
    'hub.jupyter.org/servername': labelSlug(lab.servername),
  };
}

/** The names as the hub writes them, where KubeSpawner says them. */
export function ecosystemAnnotations({ user, lab }: BuildContext): Record<string, string> {
  return {
    [KUBESPAWNER_USERNAME_ANNOTATION]: user.username,
    ...(lab.servername === '' ? {} : { 'hub.jupyter.org/servername': lab.servername }),
  };
}

/** The metadata every object of a lab has. */
export function labMetadata(context: BuildContext, name: string): V1ObjectMeta {
  const { config, names, user, lab } = context;
  return {
    name,
    ...(name === names.namespace ? {} : { namespace: names.namespace }),
    labels: {
      ...config.extraLabels,
      [MANAGED_BY_LABEL]: MANAGED_BY,
      [CONTROLLER_LABEL]: context.controller,
      ...labLabels(context),
    },
    annotations: {
      ...config.extraAnnotations,
      [USERNAME_ANNOTATION]: user.username,
      [SERVERNAME_ANNOTATION]: lab.servername,
    },
  };
}
