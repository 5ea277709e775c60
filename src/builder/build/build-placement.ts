import type { V1Affinity } from '@kubernetes/client-node';
import { KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { BUILD_KIND } from '../../domain/build/build-intent.ts';

/**
 * Where a build would best run; it runs elsewhere when there is no room.
 *
 * @param node - name of the node that has layers of this repository, where that is known
 */
export function buildAffinity(placement: 'spread' | 'sticky', node: string | undefined): V1Affinity | undefined {
  if (placement === 'spread') return AWAY_FROM_BUILDS;
  if (node === undefined) return undefined;
  // The name itself and not the label `kubernetes.io/hostname`, which is another word on some clouds.
  const preference = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] };
  return { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] } };
}

const AWAY_FROM_BUILDS: V1Affinity = {
  podAntiAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: {
          topologyKey: 'kubernetes.io/hostname',
          labelSelector: { matchLabels: { [MANAGED_BY_LABEL]: MANAGED_BY, [KIND_LABEL]: BUILD_KIND } },
        },
      },
    ],
  },
};
