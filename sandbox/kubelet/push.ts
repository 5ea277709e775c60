import type { V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Secrets } from '../../src/storage/kubernetes/resources.ts';
import { pushImage } from '../registry/push.ts';
import type { Push } from './build-container.ts';

/** Pushes what a build has made with the credentials that its pod has, to a registry of this machine. */
export function pusher(client: KubeClient): Push {
  return async (image, pod, signal) => {
    const config = await readDockerConfig(client, pod, signal);
    const auth = config.auths?.[image.split('/')[0] ?? '']?.auth;
    const content = pod.metadata?.labels?.['labwright.dev/build-id'] ?? pod.metadata?.uid ?? '';
    await pushImage(image, content, { signal, ...(auth === undefined ? {} : { authorization: `Basic ${auth}` }) });
  };
}

interface DockerConfig {
  readonly auths?: Readonly<Record<string, { readonly auth?: string }>>;
}

/** `config.json` of the first Secret that the pod mounts and that has one. */
async function readDockerConfig(
  client: KubeClient,
  { metadata, spec }: V1Pod,
  signal: AbortSignal,
): Promise<DockerConfig> {
  for (const { secret } of spec?.volumes ?? []) {
    if (secret?.secretName === undefined) continue;
    const found = await client.get(Secrets, { namespace: metadata?.namespace, name: secret.secretName }, { signal });
    const text = found?.data?.['config.json'];
    if (text !== undefined) return JSON.parse(Buffer.from(text, 'base64').toString()) as DockerConfig;
  }
  return {};
}
