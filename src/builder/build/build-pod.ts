import type {
  V1Affinity,
  V1Container,
  V1PodSpec,
  V1ResourceRequirements,
  V1Toleration,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import type { BuildsConfig } from '../../config/config.ts';
import { backendParts, type BackendParts } from './build-backend.ts';
import { buildCommand } from './build-command.ts';
import { SECRETS_DIRECTORY } from '../../domain/build/build-secrets.ts';
import { SCRATCH_VOLUME, SECRETS_VOLUME, type BuildPodContext } from './build-context.ts';
import { BUILD_SERVICE_ACCOUNT } from '../../domain/build/build-service-account.ts';
import { BUILD_CONTAINER, buildObjectName } from '../../domain/build/build-intent.ts';
import { buildAffinity } from './build-placement.ts';
import { formatCpu, formatMemory } from '../../util/quantities.ts';
import { copyOf, defined, some } from '../values.ts';

/** Enough for fetching and pushing where the steps of the build run elsewhere in the pod. */
const SMALL = { cpu: 1, memory: 2 ** 30, cpuRequest: 0.1, memoryRequest: 2 ** 28 };
/** Nothing is there that would end well in more time, and what is stopped shall be gone. */
const GRACE_SECONDS = 2;
/** What the node controller puts on a machine that it does not hear. */
const LOST_NODE_TAINTS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];
const LOST_NODE_SECONDS = 60;

/** The pod in which one build runs. */
export function buildPodSpec(context: BuildPodContext, node: string | undefined): V1PodSpec {
  const { config } = context;
  const { pod } = config;
  const backend = backendParts(context.backend);
  const workers = backend.worker === undefined ? [] : [{ ...backend.worker, resources: buildResources(pod) }];
  // Those end with the build; a plain container beside it would keep the pod up.
  const sidecars = pod.sidecars.map((sidecar) => ({ ...(copyOf(sidecar) as V1Container), restartPolicy: 'Always' }));
  return defined({
    serviceAccountName: BUILD_SERVICE_ACCOUNT,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    hostUsers: backend.hostUsers,
    imagePullSecrets: some(config.builder.imagePullSecrets.map((name) => ({ name }))),
    restartPolicy: 'Never',
    activeDeadlineSeconds: Math.ceil(config.deadlines.total / 1000),
    terminationGracePeriodSeconds: GRACE_SECONDS,
    securityContext: backend.security,
    initContainers: some([...workers, ...sidecars]),
    containers: [buildContainer(context, backend)],
    volumes: buildVolumes(context, backend),
    nodeSelector: Object.keys(pod.nodeSelector).length === 0 ? undefined : { ...pod.nodeSelector },
    tolerations: withLostNodes(copyOf<V1Toleration[]>(pod.tolerations)),
    affinity: pod.affinity === undefined ? buildAffinity(pod.placement, node) : copyOf<V1Affinity>(pod.affinity),
    priorityClassName: pod.priorityClassName,
    runtimeClassName: pod.runtimeClassName,
    schedulerName: pod.schedulerName,
  });
}

/**
 * A build on a machine that does not answer is ended after a minute. Kubernetes adds five for every pod that says nothing of it:
 * a lab may come back with its machine, and whoever waits for a build is better told to begin anew.
 */
function withLostNodes(tolerations: readonly V1Toleration[]): V1Toleration[] {
  const isTold = (wanted: string) =>
    tolerations.some(
      ({ key = '', effect = '' }) => (key === '' || key === wanted) && (effect === '' || effect === 'NoExecute'),
    );
  const lost = LOST_NODE_TAINTS.filter((key) => !isTold(key)).map((key) => ({
    ...{ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: LOST_NODE_SECONDS },
  }));
  return [...tolerations, ...lost];
}

function buildContainer(context: BuildPodContext, backend: BackendParts): V1Container {
  const { config, spec } = context;
  const { command, args, env } = buildCommand(config, context.backend, spec);
  return {
    name: BUILD_CONTAINER,
    image: config.builder.image,
    imagePullPolicy: config.builder.imagePullPolicy,
    command,
    args: args.map(literal),
    env: Object.entries(env).map(([name, value]) => ({ name, value: literal(value) })),
    resources: backend.worker === undefined ? buildResources(config.pod) : smallResources(config.pod),
    securityContext: backend.builderSecurity,
    volumeMounts: [
      { name: SECRETS_VOLUME, mountPath: SECRETS_DIRECTORY, readOnly: true },
      { name: SCRATCH_VOLUME, mountPath: '/tmp', subPath: 'tmp' },
      { name: SCRATCH_VOLUME, mountPath: '/var/tmp', subPath: 'var-tmp' },
      ...backend.volumeMounts,
      ...copyOf<V1VolumeMount[]>(config.pod.volumeMounts),
    ],
  };
}

/** Kubernetes reads `$(NAME)` in arguments and values as a reference to a variable, and `$$` as a dollar. */
function literal(text: string): string {
  return text.replaceAll('$', () => '$$');
}

function buildVolumes({ config, spec }: BuildPodContext, backend: BackendParts): V1Volume[] {
  return [
    { name: SECRETS_VOLUME, secret: { secretName: buildObjectName(spec.id), defaultMode: 0o400 } },
    { name: SCRATCH_VOLUME, emptyDir: { sizeLimit: formatMemory(config.pod.ephemeralStorage) } },
    ...backend.volumes,
    ...copyOf<V1Volume[]>(config.pod.volumes),
  ];
}

/** Of the container in which the steps of the build run, so that the limits bind them. */
function buildResources(pod: BuildsConfig['pod']): V1ResourceRequirements {
  return {
    limits: {
      cpu: formatCpu(pod.cpu),
      memory: formatMemory(pod.memory),
      'ephemeral-storage': formatMemory(pod.ephemeralStorage),
    },
    requests: {
      cpu: formatCpu(Math.min(pod.cpuRequest, pod.cpu)),
      memory: formatMemory(Math.min(pod.memoryRequest, pod.memory)),
      'ephemeral-storage': formatMemory(Math.min(pod.ephemeralStorageRequest, pod.ephemeralStorage)),
    },
  };
}

function smallResources(pod: BuildsConfig['pod']): V1ResourceRequirements {
  return {
    limits: { cpu: formatCpu(SMALL.cpu), memory: formatMemory(SMALL.memory) },
    requests: {
      cpu: formatCpu(Math.min(SMALL.cpuRequest, pod.cpuRequest)),
      memory: formatMemory(Math.min(SMALL.memoryRequest, pod.memoryRequest)),
    },
  };
}
