import type { V1Container, V1OwnerReference, V1Pod, V1Toleration } from '@kubernetes/client-node';
import type { LabConfig, PrepullConfig } from '../../config/index.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL, slugOf } from '../../domain/names.ts';
import type { PullStart } from '../../domain/image/prepull/plan.ts';
import {
  DIGESTS_ANNOTATION,
  NODE_ANNOTATION,
  PREPULL_KIND,
  REGISTRY_ANNOTATION,
} from '../../domain/image/prepull/puller.ts';
import { copyOf, defined, some } from '../values.ts';

export interface PullerContext {
  /** Namespace of the controller, where the pod is. */
  readonly controller: string;
  readonly lab: Pick<LabConfig, 'tolerations' | 'pullSecret'>;
  readonly prepull: Pick<PrepullConfig, 'timeout'>;
  /** What the pod is deleted with; undefined where that is not known. */
  readonly owner: V1OwnerReference | undefined;
}

/** Nobody. An image that says nothing of its user would run as root, which `restricted` refuses. */
const NOBODY = 65_534;

/** The labels of everything that pulls images ahead for this controller. */
export function prepullLabels(controller: string): Record<string, string> {
  return { [MANAGED_BY_LABEL]: MANAGED_BY, [KIND_LABEL]: PREPULL_KIND, [CONTROLLER_LABEL]: controller };
}

/** Selects them, and the record of what they have done. */
export function prepullSelector(controller: string): string {
  return Object.entries(prepullLabels(controller))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** One name for each node, so that there are never two puller pods on it. */
export function pullerName(node: string): string {
  return `prepull-${slugOf(node)}`;
}

/**
 * A pod that has its node pull images: a container for each, which ends at once. It is bound to the node by affinity and not by
 * `nodeName`, so that the scheduler sees taints and resources; it passes Pod Security `restricted` and has no credentials but those that
 * the kubelet pulls with.
 */
export function buildPullerPod(start: PullStart, { controller, lab, prepull, owner }: PullerContext): V1Pod {
  const { node, registry, images } = start;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pullerName(node),
      namespace: controller,
      labels: prepullLabels(controller),
      annotations: {
        [NODE_ANNOTATION]: node,
        [REGISTRY_ANNOTATION]: registry,
        [DIGESTS_ANNOTATION]: images.map(({ digest }) => digest).join(' '),
      },
      ...(owner === undefined ? {} : { ownerReferences: [{ ...owner }] }),
    },
    spec: defined({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      activeDeadlineSeconds: Math.ceil((prepull.timeout * images.length) / 1000),
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
          },
        },
      },
      securityContext: {
        runAsNonRoot: true,
        runAsUser: NOBODY,
        runAsGroup: NOBODY,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: images.map(({ reference }, index) => container(reference, index)),
      tolerations: some(copyOf<V1Toleration[]>(lab.tolerations)),
      imagePullSecrets: lab.pullSecret === undefined ? undefined : [{ name: lab.pullSecret }],
    }),
  };
}

function container(image: string, index: number): V1Container {
  return {
    name: `image-${String(index)}`,
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['/bin/true'],
    resources: { requests: { cpu: '1m', memory: '4Mi' }, limits: { cpu: '50m', memory: '16Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}
