import type {
  V1Container,
  V1PodSecurityContext,
  V1SecurityContext,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import type { BackendConfig } from '../../config/config.ts';
import { SCRATCH_VOLUME } from './build-context.ts';

export const BUILDKIT_TLS_DIRECTORY = '/run/labwright/buildkit-tls';
export const BUILDKIT_SOCKET = '/run/labwright/buildkit/buildkitd.sock';
const TLS_VOLUME = 'labwright-buildkit-tls';
const SOCKET_VOLUME = 'labwright-socket';
/** The user of the builder where it needs no root, and that of BuildKit's own rootless image. */
const USER = 1000;

export type PodSecurity = 'restricted' | 'baseline' | 'privileged';

/** What a backend asks of the pod and its namespace; docs/builds.md says what that means. */
export interface BackendParts {
  readonly podSecurity: PodSecurity;
  readonly hostUsers?: boolean;
  readonly security: V1PodSecurityContext;
  readonly builderSecurity: V1SecurityContext;
  /** Where the steps of the build run when that is not the builder itself; it comes up before the builder. */
  readonly worker?: V1Container;
  readonly volumes: readonly V1Volume[];
  /** Of the builder. */
  readonly volumeMounts: readonly V1VolumeMount[];
}

/** What Pod Security `restricted` asks of each container. */
const CONFINED: V1SecurityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
/** Without these two a container makes user namespaces and mounts of its own even where the node's defaults forbid it. */
const UNCONFINED: V1SecurityContext = {
  seccompProfile: { type: 'Unconfined' },
  appArmorProfile: { type: 'Unconfined' },
};

export function backendParts(backend: BackendConfig): BackendParts {
  switch (backend.kind) {
    case 'buildah':
      return buildah(backend.unconfined);
    case 'buildkit':
      return backend.address === undefined ? besideBuildkit(backend.image) : awayFromBuildkit(backend.tls);
    case 'socket':
      return besideSocket(backend.path);
  }
}

/** Root in the pod is nobody on the node, and has no more capabilities than any container. */
function buildah(unconfined: boolean): BackendParts {
  return {
    podSecurity: unconfined ? 'privileged' : 'baseline',
    hostUsers: false,
    security: { runAsUser: 0, runAsGroup: 0 },
    builderSecurity: unconfined ? UNCONFINED : {},
    volumes: [],
    // The scratch volume is no overlay, so that overlays can be made in it.
    volumeMounts: [{ name: SCRATCH_VOLUME, mountPath: '/var/lib/containers', subPath: 'containers' }],
  };
}

function awayFromBuildkit(tls: string | undefined): BackendParts {
  return {
    podSecurity: 'restricted',
    security: unprivileged(),
    builderSecurity: CONFINED,
    volumes: tls === undefined ? [] : [{ name: TLS_VOLUME, secret: { secretName: tls, defaultMode: 0o400 } }],
    volumeMounts: tls === undefined ? [] : [{ name: TLS_VOLUME, mountPath: BUILDKIT_TLS_DIRECTORY, readOnly: true }],
  };
}

/** BuildKit's docs/rootless.md: no privilege, but its steps need what seccomp and AppArmor forbid by default. */
function besideBuildkit(image: string): BackendParts {
  const directory = BUILDKIT_SOCKET.replace(/\/[^/]*$/, '');
  const socket = { name: SCRATCH_VOLUME, mountPath: directory, subPath: 'buildkit' };
  return {
    podSecurity: 'privileged',
    security: unprivileged(),
    builderSecurity: CONFINED,
    worker: {
      name: 'buildkitd',
      image,
      restartPolicy: 'Always',
      args: [`--addr=unix://${BUILDKIT_SOCKET}`, '--oci-worker-no-process-sandbox'],
      startupProbe: {
        exec: { command: ['buildctl', `--addr=unix://${BUILDKIT_SOCKET}`, 'debug', 'workers'] },
        periodSeconds: 1,
        timeoutSeconds: 5,
        failureThreshold: 60,
      },
      securityContext: UNCONFINED,
      volumeMounts: [
        socket,
        { name: SCRATCH_VOLUME, mountPath: '/home/user/.local/share/buildkit', subPath: 'worker' },
      ],
    },
    volumes: [],
    volumeMounts: [socket],
  };
}

function besideSocket(path: string): BackendParts {
  return {
    podSecurity: 'privileged',
    security: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: 'RuntimeDefault' } },
    builderSecurity: CONFINED,
    volumes: [{ name: SOCKET_VOLUME, hostPath: { path, type: 'Socket' } }],
    volumeMounts: [{ name: SOCKET_VOLUME, mountPath: path }],
  };
}

function unprivileged(): V1PodSecurityContext {
  return {
    runAsNonRoot: true,
    runAsUser: USER,
    runAsGroup: USER,
    fsGroup: USER,
    seccompProfile: { type: 'RuntimeDefault' },
  };
}
