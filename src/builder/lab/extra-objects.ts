import type { KubernetesObject } from '@kubernetes/client-node';
import { EXTRA_LABEL } from '../../domain/lab/object-names.ts';
import { copyOf } from '../values.ts';
import { spawnMetadata, type BuildContext } from './context.ts';

/** The objects that the configuration has each lab made with. They are for one spawn, as its Secrets are. */
export function buildExtraObjects(context: BuildContext): KubernetesObject[] {
  return context.config.extraObjects.map((given) => {
    const { apiVersion, kind, metadata, ...rest } = copyOf<KubernetesObject>(given);
    const ours = spawnMetadata(context, metadata?.name ?? '');
    return {
      apiVersion,
      kind,
      metadata: {
        ...ours,
        labels: { ...ours.labels, ...metadata?.labels, [EXTRA_LABEL]: 'true' },
        annotations: { ...ours.annotations, ...metadata?.annotations },
      },
      ...rest,
    } as KubernetesObject;
  });
}
