import { z } from 'zod';
import { ownBaseName } from '../domain/lab/object-names.ts';
import type { DeepReadonly } from '../util/deep-readonly.ts';
import type { Report } from './cross-check.ts';
import { objectName, ownKey, qualifiedName, labelValue } from './kubernetes.ts';
import { personal, tellsLabsApart } from './personal.ts';

/** Kinds that cannot be given, and what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  Pod: 'expected sidecars (lab.sidecars) for what runs beside a lab, or a Job or a Deployment: the pod of a lab is found by its labels',
  PersistentVolume: 'expected lab.volumes[].persistentVolume: it is in no namespace',
};
const CLUSTER_WIDE = new Set([
  ...['Namespace', 'Node', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition', 'StorageClass'],
  ...[
    'PriorityClass',
    'RuntimeClass',
    'IngressClass',
    'ValidatingWebhookConfiguration',
    'MutatingWebhookConfiguration',
  ],
]);

const metadata = z.strictObject({
  name: personal(objectName).describe('Its name.'),
  labels: z.record(ownKey(qualifiedName), personal(labelValue)).exactOptional().describe('Its labels.'),
  annotations: z.record(ownKey(qualifiedName), z.string()).exactOptional().describe('Its annotations.'),
});

/** An object beside those that Labwright makes of a lab, as a manifest. */
export const extraObject = z
  .object({
    apiVersion: z
      .string()
      .regex(/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\/)?v[0-9]+(?:(?:alpha|beta)[0-9]+)?$/, {
        error: 'expected the version of an API, such as v1 or networking.k8s.io/v1',
      })
      .describe('Version of its API.'),
    kind: z
      .string()
      .regex(/^[A-Z][A-Za-z0-9]{0,62}$/, { error: 'expected a kind, such as ConfigMap' })
      .superRefine((kind, context) => {
        const why = CLUSTER_WIDE.has(kind) ? 'expected a kind whose objects are in a namespace' : REFUSED[kind];
        if (why !== undefined) context.addIssue({ code: 'custom', message: why });
      })
      .describe('Its kind.'),
    metadata: metadata.describe('Its name, labels and annotations; its namespace is that of the lab.'),
  })
  .catchall(z.json())
  .refine((object) => !('status' in object), { path: ['status'], error: 'expected none: the cluster writes it' })
  .meta({ title: 'as in Kubernetes' });

export type ExtraObject = DeepReadonly<z.output<typeof extraObject>>;

/** What tells objects apart, as long as nobody stands in their names. */
export function extraObjectKey({ apiVersion, kind, metadata: { name } }: ExtraObject): string {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  return `${group} ${kind} ${name}`;
}

interface Settings {
  readonly namespaces: 'perLab' | 'shared';
  readonly podName?: string | undefined;
  readonly serviceAccount: { readonly name?: string | undefined };
  readonly extraObjects: readonly ExtraObject[];
}

/** Their names: not those of the objects that Labwright makes itself, and where labs share a namespace, none that two labs would have. */
export function checkExtraObjects(settings: Settings, report: Report): void {
  const { namespaces, podName, serviceAccount, extraObjects } = settings;
  const isShared = namespaces === 'shared';
  const own = ownBaseName(isShared ? { podName } : {});
  const keys = extraObjects.map(extraObjectKey);
  extraObjects.forEach(({ kind, metadata: { name } }, index) => {
    const path = ['extraObjects', index, 'metadata', 'name'];
    if (keys.indexOf(keys[index] ?? '') < index) report(path, 'expected another name: one of this kind has it already');
    if (name === own || name.startsWith(`${own}-`)) {
      report(path, `expected another name: ${own} and what begins with ${own}- are names of Labwright's own objects`);
    } else if (!isShared && kind === 'ServiceAccount' && name === serviceAccount.name) {
      report(path, 'expected another name: lab.serviceAccount is made anyway, with the annotations that it has there');
    }
    if (isShared && !tellsLabsApart(name)) {
      report(
        path,
        'expected the user and the server in it, since labs share a namespace and each makes one: such as settings-{slug} or ' +
          'settings-{user_server}',
      );
    }
  });
}
