import type { V1Namespace, V1NetworkPolicy, V1ServiceAccount } from '@kubernetes/client-node';
import type { BuildsConfig } from '../../config/config.ts';
import { BUILD_SERVICE_ACCOUNT } from '../../domain/build/build-service-account.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { backendParts } from './build-backend.ts';
import type { BuildPlace } from './build-context.ts';
import { BUILD_KIND } from '../../domain/build/build-intent.ts';
import { buildEgressPolicy } from './build-network-policy.ts';
import { defined } from '../values.ts';

/** What has to be there before the first build. */
export interface BuildNamespaceObjects {
  readonly namespace: V1Namespace;
  readonly serviceAccount: V1ServiceAccount;
  /** Absent when network policies are off. */
  readonly networkPolicy?: V1NetworkPolicy;
}

export function buildNamespaceObjects(config: BuildsConfig, place: BuildPlace): BuildNamespaceObjects {
  const labels = {
    [MANAGED_BY_LABEL]: MANAGED_BY,
    [CONTROLLER_LABEL]: place.controller,
    [KIND_LABEL]: `${BUILD_KIND}s`,
  };
  const { namespace } = place;
  return defined({
    namespace: {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: {
          ...labels,
          'pod-security.kubernetes.io/enforce': config.podSecurity ?? backendParts(place.backend).podSecurity,
        },
      },
    },
    serviceAccount: {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: BUILD_SERVICE_ACCOUNT, namespace, labels },
      automountServiceAccountToken: false,
    },
    networkPolicy: buildEgressPolicy(config.networkPolicy, { name: 'labwright-builds', namespace, labels }),
  });
}
