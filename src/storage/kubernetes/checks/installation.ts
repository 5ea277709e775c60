import { installationName } from '../../../domain/installation.ts';
import type { KubeClient } from '../kube-client.ts';
import { Namespaces } from '../resources.ts';

/**
 * What this installation is called outside of its cluster.
 *
 * @param namespace in which its builds are kept
 * @throws {KubeError | Error} it cannot be known yet
 */
export async function readInstallation(
  client: KubeClient,
  controller: string,
  namespace: string,
  signal: AbortSignal,
): Promise<string> {
  const found = await client.get(Namespaces, { name: namespace }, { signal });
  const uid = found?.metadata?.uid;
  if (uid === undefined) throw new Error(`The namespace ${namespace} is not there yet.`);
  return installationName(controller, uid);
}
