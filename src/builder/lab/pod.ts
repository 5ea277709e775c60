import type {
  V1Affinity,
  V1Container,
  V1EnvFromSource,
  V1Pod,
  V1PodSecurityContext,
  V1PodSpec,
  V1ResourceRequirements,
  V1SecurityContext,
  V1Toleration,
  V1TopologySpreadConstraint,
} from '@kubernetes/client-node';
import type { InitContainerConfig, LabConfig } from '../../config/config.ts';
import {
  accountNameOf,
  addressingOf,
  type BuildContext,
  ecosystemAnnotations,
  ecosystemLabels,
  isLimited,
  spawnMetadata,
} from './context.ts';
import { buildExpandedEnv, buildReferences } from './environment.ts';
import { homeDirectory } from './home.ts';
import { writeAddressing } from '../../domain/lab/internal-url.ts';
import { ADDRESSING_ANNOTATION, LAB_SPEC_ANNOTATION, SPAWN_LABEL } from '../../domain/lab/object-names.ts';
import { mergePatch } from '../../util/merge-patch.ts';
import { formatCpu, formatMemory } from '../../util/quantities.ts';
import { copyOf, defined, some } from '../values.ts';
import { buildLabMounts, buildVolumes, scratchMounts } from './volumes.ts';

/** The pod of one spawn. A pod of another spawn is told from it by the spawn label. */
export function buildPod(context: BuildContext): V1Pod {
  const metadata = spawnMetadata(context, context.names.pod);
  const { spawnId } = context.lab;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata,
      labels: { ...ecosystemLabels(context), ...metadata.labels },
      annotations: {
        ...ecosystemAnnotations(context),
        ...metadata.annotations,
        [SPAWN_LABEL]: spawnId,
        [LAB_SPEC_ANNOTATION]: JSON.stringify(context.lab),
        [ADDRESSING_ANNOTATION]: writeAddressing(addressingOf(context.config)),
      },
    },
    spec: patched({ ...buildSpec(context), ...buildPlacement(context) }, context.config),
  };
}

/** The last word of the configuration. */
function patched(spec: V1PodSpec, { podPatch }: LabConfig): V1PodSpec {
  return Object.keys(podPatch).length === 0 ? spec : (mergePatch(spec, podPatch) as V1PodSpec);
}

function buildSpec(context: BuildContext): V1PodSpec {
  const { config, names, pullSecret } = context;
  return defined({
    serviceAccountName: accountNameOf(context),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    hostUsers: config.hostUsers,
    imagePullSecrets: pullSecret === null ? undefined : [{ name: names.pullSecret }],
    restartPolicy: 'Never',
    securityContext: buildPodSecurity(context),
    terminationGracePeriodSeconds: Math.ceil(config.terminationGracePeriod / 1000),
    initContainers: some([
      ...config.initContainers.map((container) => buildInitContainer(context, container)),
      ...config.sidecars.map((sidecar) => buildSidecar(config, sidecar)),
    ]),
    containers: [buildNotebook(context)],
    volumes: buildVolumes(context),
  });
}

/** Where and how the scheduler and the node run it: what the administrator said, unchanged. */
function buildPlacement({ config }: BuildContext): Partial<V1PodSpec> {
  const tolerations = some(config.tolerations);
  const spread = some(config.topologySpreadConstraints);
  return defined({
    nodeSelector: Object.keys(config.nodeSelector).length === 0 ? undefined : { ...config.nodeSelector },
    tolerations: tolerations && copyOf<V1Toleration[]>(tolerations),
    affinity: config.affinity && copyOf<V1Affinity>(config.affinity),
    topologySpreadConstraints: spread && copyOf<V1TopologySpreadConstraint[]>(spread),
    priorityClassName: config.priorityClassName,
    runtimeClassName: config.runtimeClassName,
    schedulerName: config.schedulerName,
  });
}

function buildPodSecurity({ config, user }: BuildContext): V1PodSecurityContext {
  const groups = [...new Set(user.groups.map(({ id }) => id))];
  const owned = config.fsGroup === 'always' || (config.fsGroup === 'ownClaims' && mountsOwnClaim(config));
  return defined({
    runAsNonRoot: true,
    runAsUser: user.uid,
    runAsGroup: user.gid,
    supplementalGroups: groups.length === 0 ? undefined : groups,
    fsGroup: owned ? user.gid : undefined,
    fsGroupChangePolicy: owned ? 'OnRootMismatch' : undefined,
    seccompProfile: { type: 'RuntimeDefault' },
  });
}

/**
 * Whether the pod mounts a claim that nobody else can use at the same time. A new block volume belongs to root, and the kubelet hands
 * it over to fsGroup; what others use, too, must not change hands.
 */
function mountsOwnClaim({ volumes, volumeMounts, home, initContainers, sidecars }: LabConfig): boolean {
  const mounted = new Set([
    ...[...volumeMounts, ...initContainers.flatMap((container) => container.volumeMounts)].map(({ name }) => name),
    ...sidecars.flatMap((container) => container.volumeMounts?.map(({ name }) => name) ?? []),
    ...(home.volume === undefined ? [] : [home.volume]),
  ]);
  return volumes.some(
    ({ name, persistentVolumeClaim: claim }) =>
      mounted.has(name) &&
      claim?.storage !== undefined &&
      claim.accessModes.every((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod'),
  );
}

function buildNotebook(context: BuildContext): V1Container {
  const { config, image, names, user } = context;
  return defined({
    name: names.container,
    image: image.reference,
    imagePullPolicy: config.imagePullPolicy,
    command: config.command && [...config.command],
    args: config.args.length === 0 ? undefined : [...config.args],
    workingDir: config.workingDir ?? (config.home.schema === 'image' ? undefined : homeDirectory(config, user)),
    ports: [{ name: 'http', containerPort: config.port, protocol: 'TCP' }],
    envFrom: environmentOf(context),
    env: [...buildReferences(context), ...buildExpandedEnv(config)],
    resources: buildResources(context),
    // The pod is ready when the server listens; without a readiness probe it then stays so, however busy the server is.
    startupProbe: {
      tcpSocket: { port: config.port },
      periodSeconds: 1,
      timeoutSeconds: 1,
      failureThreshold: Math.ceil(config.spawnTimeout / 1000),
    },
    securityContext: confined(config.readOnlyRootFilesystem),
    volumeMounts: buildLabMounts(context),
  });
}

function buildInitContainer(context: BuildContext, container: InitContainerConfig): V1Container {
  const { config, user } = context;
  const seesLab = container.sees === 'lab';
  const env = {
    NUBLADO_HOME: homeDirectory(config, user),
    NUBLADO_UID: String(user.uid),
    NUBLADO_GID: String(user.gid),
    ...container.env,
  };
  return defined({
    name: container.name,
    image: container.image,
    imagePullPolicy: container.imagePullPolicy,
    command: container.command && [...container.command],
    args: container.args && [...container.args],
    envFrom: environmentOf(context),
    env: [
      ...[...(seesLab ? buildReferences(context) : []), ...buildExpandedEnv(config)].filter(
        ({ name }) => !Object.hasOwn(env, name),
      ),
      ...Object.entries(env).map(([name, value]) => ({ name, value })),
    ],
    resources: buildResources(context),
    securityContext: initSecurity(context, container),
    volumeMounts: seesLab
      ? buildLabMounts(context, container.volumeMounts)
      : scratchMounts(context, container.volumeMounts),
  });
}

/** `restartPolicy: Always` makes it a sidecar: it starts before the lab, and ends when the lab has ended. */
function buildSidecar({ readOnlyRootFilesystem }: LabConfig, sidecar: LabConfig['sidecars'][number]): V1Container {
  const own = copyOf<V1Container>(sidecar);
  const isPrivileged = own.securityContext?.privileged === true;
  const confinement = isPrivileged ? {} : confined(readOnlyRootFilesystem);
  return { ...own, securityContext: { ...confinement, ...own.securityContext }, restartPolicy: 'Always' };
}

function initSecurity({ config }: BuildContext, { privileged, runAsRoot }: InitContainerConfig): V1SecurityContext {
  const root = { runAsNonRoot: false, runAsUser: 0, runAsGroup: 0 };
  if (privileged) return { privileged: true, allowPrivilegeEscalation: true, ...root };
  if (runAsRoot)
    return { allowPrivilegeEscalation: false, readOnlyRootFilesystem: config.readOnlyRootFilesystem, ...root };
  return confined(config.readOnlyRootFilesystem);
}

/** What Pod Security `restricted` asks of each container. */
function confined(readOnlyRootFilesystem: boolean): V1SecurityContext {
  return { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem };
}

function environmentOf({ names }: BuildContext): V1EnvFromSource[] {
  return [{ secretRef: { name: names.envSecret } }];
}

function buildResources(context: BuildContext): V1ResourceRequirements {
  const { lab } = context;
  const { limits, requests } = lab.resources;
  return {
    limits: {
      ...(isLimited(context, 'cpu') ? { cpu: formatCpu(limits.cpu) } : {}),
      ...(isLimited(context, 'memory') ? { memory: formatMemory(limits.memory) } : {}),
      ...lab.extendedResources,
    },
    requests: { cpu: formatCpu(requests.cpu), memory: formatMemory(requests.memory), ...lab.extendedResources },
  };
}
