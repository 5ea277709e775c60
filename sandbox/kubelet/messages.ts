/** What scheduler, kubelet and container runtime say, read off a real 1.34 cluster with containerd. */
export const messages = {
  noNode:
    '0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: ' +
    '1 Preemption is not helpful for scheduling.',

  pulled: (image: string, ms: number) =>
    `Successfully pulled image "${image}" in ${String(ms)}ms (${String(ms)}ms including waiting). ` +
    'Image size: 116700694 bytes.',

  present: (image: string) => `Container image "${image}" already present on machine`,

  pullError(reason: 'notFound' | 'unauthorized' | 'transient', image: string): string {
    const head = `failed to pull and unpack image "${image}": failed to resolve image`;
    switch (reason) {
      case 'notFound':
        return `rpc error: code = NotFound desc = ${head}: ${image}: not found`;
      case 'unauthorized':
        return `${head}: unexpected status from HEAD request: 401 Unauthorized`;
      case 'transient':
        return `${head}: failed to do request: dial tcp: i/o timeout`;
    }
  },

  invalidImageName: (image: string) =>
    `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`,

  /** @param why as Go's os/exec says it: `exec: "jupyterhub-singleuser": executable file not found in $PATH` */
  notStarted: (why: string) =>
    'failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: ' +
    `unable to start container process: error during container init: ${why}`,

  noExecutable: (command: string) => `exec: ${JSON.stringify(command)}: executable file not found in $PATH`,

  failedMount: (volume: string) => `MountVolume.SetUp failed for volume "${volume}" : secret "${volume}" not found`,

  notListening: (podIP: string, port = 8888) =>
    `Startup probe failed: dial tcp ${podIP}:${String(port)}: connect: connection refused`,

  notStartedYet(container: string, pod: string, reason = 'ContainerCreating'): string {
    const why =
      { ErrImagePull: "image can't be pulled", ImagePullBackOff: 'trying and failing to pull image' }[reason] ?? reason;
    return `container "${container}" in pod "${pod}" is waiting to start: ${why}`;
  },
  noPrevious: (container: string, pod: string) =>
    `previous terminated container "${container}" in pod "${pod}" not found`,

  containerLost: 'The container could not be located when the pod was terminated',

  evicted: (container: string) =>
    'The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. ' +
    `Container ${container} was using 1Gi, request is 0, has larger consumption of memory. `,

  /** As a build ends when its image is not taken. */
  pushFailed: (image: string, why: string): string[] => [
    JSON.stringify({ message: `Error: pushing image "${image}": ${why}\n`, phase: 'pushing' }),
    JSON.stringify({ message: 'Pushing the image failed with exit code 125.', phase: 'failed' }),
  ],
  pushDenied: 'trying to reuse blob at destination: checking whether a blob exists: authentication required',
  podDeadline: 'Pod was active on the node longer than the specified deadline',

  nodeTaint: 'Taint manager: deleting due to NoExecute taint',
} as const;
