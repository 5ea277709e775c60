import type { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../../src/storage/kubernetes/kube-error.ts';
import { Namespaces, Pods } from '../../../src/storage/kubernetes/resources.ts';
import { until } from './until.ts';

/**
 * Has Pod Security refuse the pods of a namespace, and waits until the API server does: it reads the labels of namespaces from a
 * cache, which may be behind.
 */
export async function admitNoPods(client: KubeClient, namespace: string): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await client.patch(Namespaces, { name: namespace }, { metadata: { labels } });
  const pod = {
    metadata: { name: 'none', namespace },
    spec: { containers: [{ name: 'none', image: 'registry.example/none:1' }] },
  };
  await until('Pod Security refuses pods', async () => {
    return client.create(Pods, pod, { dryRun: true }).then(
      () => false,
      (error: unknown) => isKubeError(error, 403) && error.message.includes('PodSecurity'),
    );
  });
}
