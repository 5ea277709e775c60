import { randomBytes } from 'node:crypto';
import { listAt, specOf, textAt } from '../kinds/common.ts';
import { pods } from '../kinds/pods.ts';
import { serviceAccounts } from '../kinds/service-accounts.ts';
import type { JsonObject, KubeObject } from '../objects.ts';
import { forbidden } from '../status.ts';
import type { Store } from '../store.ts';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A pod runs as a service account that exists, and gets its token mounted unless pod or account say no. */
export function admitServiceAccount(store: Store, pod: KubeObject): KubeObject {
  const spec = specOf(pod);
  const name = textAt(spec, 'serviceAccountName') || 'default';
  const { namespace = '' } = pod.metadata;
  const account = store.get(serviceAccounts, namespace, name);
  if (account === undefined) {
    const why = `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`;
    throw forbidden(pods, pod.metadata.name, why);
  }
  const secrets = listAt(account, 'imagePullSecrets');
  const named = {
    ...spec,
    serviceAccountName: name,
    serviceAccount: name,
    ...(listAt(spec, 'imagePullSecrets').length === 0 && secrets.length > 0 ? { imagePullSecrets: secrets } : {}),
  };
  const mount = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true;
  return { ...pod, spec: mount === false ? named : withToken(named) };
}

function withToken(spec: JsonObject): JsonObject {
  const name = `kube-api-access-${randomBytes(3).toString('hex').slice(0, 5)}`;
  const volume = {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
      defaultMode: 420,
    },
  };
  const mounted = ['containers', 'initContainers']
    .filter((field) => field in spec)
    .map((field) => {
      const containers = listAt(spec, field).map((container) => ({
        ...container,
        volumeMounts: [...listAt(container, 'volumeMounts'), { name, readOnly: true, mountPath: MOUNT_PATH }],
      }));
      return [field, containers] as const;
    });
  return { ...spec, volumes: [...listAt(spec, 'volumes'), volume], ...Object.fromEntries(mounted) };
}
