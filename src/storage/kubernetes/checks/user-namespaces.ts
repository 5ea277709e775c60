import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { BUILD_SERVICE_ACCOUNT } from '../../../domain/build/build-service-account.ts';
import type { KubeClient } from '../kube-client.ts';
import { isKubeError } from '../kube-error.ts';
import { Nodes, Pods } from '../resources.ts';

const CHOICE = 'choose builds.backend `buildkit` or `socket` (docs/builds.md says what each costs)';
/** Any that can be written: the pod is never made, so no image is pulled. */
const IMAGE = 'registry.invalid/none:1';

/**
 * Whether pods can have user namespaces of their own, as backend `buildah` needs them: the API server has to know
 * `hostUsers` (on by default since Kubernetes 1.33; it drops what it does not know), and the runtime of a node has to be able
 * to make them, which is only seen where nodes may be listed.
 *
 * @param namespace - that of builds, with what has to be there before the first one
 * @returns what is wrong and which choice there is, one sentence to log; undefined when nothing is known to be wrong
 * @throws {KubeError} when the API server does not answer
 */
export async function findUserNamespaces(
  client: KubeClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const options = signal === undefined ? {} : { signal };
  const kept = await keepsHostUsers(client, namespace, options);
  if (kept === false) {
    return `This cluster's API server knows no user namespaces of pods, so that builds cannot run: ${CHOICE}, or Kubernetes 1.33 or newer.`;
  }
  const nodes = await listNodes(client, options);
  const able = nodes.filter(hasUserNamespaces);
  if (nodes.length === 0 || able.length === nodes.length) return undefined;
  const which = able.length === 0 ? 'No node' : `Only ${able.length} of ${nodes.length} nodes`;
  return `${which} can give pods user namespaces of their own, so that builds cannot run elsewhere: ${CHOICE}, or builds.pod.nodeSelector.`;
}

interface Options {
  readonly signal?: AbortSignal;
}

/** Undefined when the API server refuses such a pod for another reason: the first build will say which. */
async function keepsHostUsers(client: KubeClient, namespace: string, options: Options): Promise<boolean | undefined> {
  const pod: V1Pod = {
    metadata: { name: 'labwright-user-namespaces', namespace },
    spec: {
      hostUsers: false,
      serviceAccountName: BUILD_SERVICE_ACCOUNT,
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      containers: [{ name: 'none', image: IMAGE }],
    },
  };
  try {
    const { spec } = await client.create(Pods, pod, { ...options, dryRun: true });
    return spec?.hostUsers === false;
  } catch (error) {
    if ([403, 404, 409, 422].some((status) => isKubeError(error, status))) return undefined;
    throw error;
  }
}

/** Empty when they may not be listed. */
async function listNodes(client: KubeClient, options: Options): Promise<readonly V1Node[]> {
  try {
    return (await client.list(Nodes, options)).items;
  } catch (error) {
    if (isKubeError(error, 403)) return [];
    throw error;
  }
}

/** The handler without a name is that of pods without a runtime class. A kubelet that says nothing cannot. */
function hasUserNamespaces({ status }: V1Node): boolean {
  return (status?.runtimeHandlers ?? []).some(
    ({ name, features }) => (name ?? '') === '' && features?.userNamespaces === true,
  );
}
