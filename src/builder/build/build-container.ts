import type { BackendConfig, BuildsConfig } from '../../config/config.ts';
import type { BuildSpec } from '../../domain/build/build.ts';
import { parseAnnotation } from '../../domain/annotation.ts';
import { buildCommand } from './build-command.ts';
import { buildLabels } from '../../domain/build/build-intent.ts';
import { type BuildSecrets, SECRETS_DIRECTORY, secretFiles } from '../../domain/build/build-secrets.ts';

/** The specification, as JSON. */
const SPEC_LABEL = 'labwright.dev/build-spec';
/** What that label was called before; containers that were made then may still run. */
const SPEC_LABEL_BEFORE = 'labwright.dev/build';

/** Where the secrets are put before the container starts: a tmpfs is not there yet. */
export const INCOMING_DIRECTORY = '/run/labwright/incoming';
/** How the wrapper says that the kernel has ended a process of the build for want of memory. */
export const OUT_OF_MEMORY_EXIT = 121;
/** How `timeout` says that its time was over. */
export const TIMEOUT_EXIT = 124;
/** The wrapper could not even begin. */
export const WRAPPER_EXIT = 125;

const PIDS = 8192;
const KILL_AFTER_SECONDS = 5;
const SECRETS_BYTES = 2 ** 20;
/** `NanoCpus` counts billionths of a core. */
const NANO = 1e9;

/**
 * What runs the command in its container, since there is no Kubernetes to do it: the secrets leave the disk before
 * anything of the repository is fetched, the total deadline holds without a controller, and it is told apart whether memory
 * was short, which not every engine can say (Podman with cgroup v1 does not). Parameters: seconds, then the command.
 */
const WRAPPER = `
cp -a ${INCOMING_DIRECTORY}/. ${SECRETS_DIRECTORY}/ && rm -rf ${INCOMING_DIRECTORY} || exit ${WRAPPER_EXIT}
limit=$1
shift
timeout -k ${KILL_AFTER_SECONDS} "$limit" "$@" </dev/null
code=$?
if [ $code -ne 0 ] && [ $code -ne ${TIMEOUT_EXIT} ] &&
  grep -qs '^oom_kill [1-9]' /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; then
  exit ${OUT_OF_MEMORY_EXIT}
fi
exit $code
`;

export interface ContainerOptions {
  readonly config: BuildsConfig;
  readonly backend: BackendConfig;
  /** What its labels say. */
  readonly controller: string;
  /** Podman can give each container a user namespace; Docker cannot. */
  readonly isPodman: boolean;
}

/** The part of the body of `POST /containers/create` that we use. */
export interface ContainerBody {
  readonly Image: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly User: string;
  readonly StopSignal: string;
  readonly Volumes: Readonly<Record<string, object>>;
  readonly HostConfig: Readonly<Record<string, unknown>>;
}

/** Name of the container of a build. */
export function containerName(id: string): string {
  return `labwright-build-${id}`;
}

/**
 * Why containers of an engine cannot have this backend; undefined when they can.
 */
export function missingBackend(backend: BackendConfig): string | undefined {
  if (backend.kind !== 'buildkit') return undefined;
  if (backend.address === undefined) return 'A BuildKit beside the build needs a pod; give the address of one.';
  return backend.tls === undefined
    ? undefined
    : 'The certificates for BuildKit are in a Secret, which builds without Kubernetes do not have.';
}

/** The container that runs a build on a Docker-compatible engine: as the pod on Kubernetes, as far as an engine can. */
export function buildContainer(spec: BuildSpec, options: ContainerOptions): ContainerBody {
  const { config, backend, controller } = options;
  const { command, args, env } = buildCommand(config, backend, spec);
  const seconds = Math.ceil(config.deadlines.total / 1000);
  return {
    Image: config.builder.image,
    Labels: { ...config.pod.labels, ...buildLabels(spec, controller), [SPEC_LABEL]: JSON.stringify(spec) },
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    Entrypoint: ['/bin/sh', '-c', WRAPPER, 'build'],
    Cmd: [String(seconds), ...command, ...args],
    User: '0:0',
    // A shell that is the first process takes no notice of a polite one.
    StopSignal: 'SIGKILL',
    // Anonymous volumes: no overlay, so that buildah can make overlays there, and removed with the container.
    Volumes: { '/tmp': {}, '/var/tmp': {}, ...(backend.kind === 'buildah' ? { '/var/lib/containers': {} } : {}) },
    HostConfig: {
      Memory: config.pod.memory,
      // As much as memory alone: no swap.
      MemorySwap: config.pod.memory,
      NanoCpus: Math.round(config.pod.cpu * NANO),
      PidsLimit: PIDS,
      Privileged: false,
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      Tmpfs: { [SECRETS_DIRECTORY]: `rw,nosuid,nodev,noexec,size=${SECRETS_BYTES},mode=0700` },
      ...isolation(options),
    },
  };
}

function isolation({ backend, isPodman }: ContainerOptions): Record<string, unknown> {
  const noNewPrivileges = 'no-new-privileges';
  switch (backend.kind) {
    case 'buildah':
      return {
        SecurityOpt: backend.unconfined
          ? [noNewPrivileges, 'seccomp=unconfined', 'apparmor=unconfined']
          : [noNewPrivileges],
        ...(isPodman ? { UsernsMode: 'auto' } : {}),
      };
    case 'buildkit':
      return { SecurityOpt: [noNewPrivileges], CapDrop: ['ALL'] };
    case 'socket':
      return { SecurityOpt: [noNewPrivileges], Binds: [`${backend.path}:${backend.path}`] };
  }
}

/** The secrets as files, in the directory that the wrapper takes them from. Only the container's root can read them. */
export function secretEntries(secrets: BuildSecrets): { name: string; mode: number; content?: string }[] {
  const directory = `${INCOMING_DIRECTORY.slice(1)}/`;
  return [
    { name: directory, mode: 0o700 },
    ...Object.entries(secretFiles(secrets)).map(([name, content]) => ({
      name: `${directory}${name}`,
      mode: 0o400,
      content,
    })),
  ];
}

/** The specification that a container's labels hold; undefined when there is none that can be read. */
export function labelledSpec(labels: Readonly<Record<string, string>>): BuildSpec | undefined {
  return parseAnnotation<BuildSpec>(labels[SPEC_LABEL] ?? labels[SPEC_LABEL_BEFORE]);
}
