import { randomBytes } from 'node:crypto';
import type { KubernetesObject } from '@kubernetes/client-node';
import type { Refusal } from '../cli/index.ts';
import { EXTRA_LABEL } from '../domain/lab/object-names.ts';
import { SetupError } from '../domain/setup-error.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { KubeError } from '../storage/kubernetes/kube-error.ts';
import { ApiKinds } from '../storage/kubernetes/api-kinds.ts';
import { Namespaces } from '../storage/kubernetes/resources.ts';

/**
 * Sends the objects of labs or builds to the API server as a dry run: it validates and admits them and stores none. Namespace and
 * service account are made, with their own labels: what is inside is admitted only where they are there. They are removed at
 * the end; if this process is killed before, the controller collects what has the labels of a lab. Where labs share a namespace, that one is
 * there, and nothing is made.
 *
 * @param tries the first object of each is the namespace of them all, where they have one of their own
 * @throws {SetupError} the cluster cannot be asked
 */
export async function tryInCluster(
  connection: KubeConnection,
  tries: readonly (readonly KubernetesObject[])[],
): Promise<Refusal[][]> {
  const client = new KubeClient({ connection });
  const first = tries[0]?.[0];
  if (first === undefined) return [];
  if (first.kind !== 'Namespace') return tryInside(client, tries, first.metadata?.namespace ?? '');
  const name = `${first.metadata?.name ?? 'lab'}-${randomBytes(4).toString('hex')}`;
  const namespace = placed(first, { name });
  const refused = await refusalOf(() => client.create(Namespaces, namespace), namespace);
  if (refused !== undefined) return tries.map(() => [refused]);
  try {
    return await tryInside(client, tries, name);
  } finally {
    await client.delete(Namespaces, { name });
  }
}

async function tryInside(
  client: KubeClient,
  tries: readonly (readonly KubernetesObject[])[],
  namespace: string,
): Promise<Refusal[][]> {
  const answers: Refusal[][] = [];
  const kinds = new ApiKinds(client);
  for (const objects of tries) {
    const refusals: Refusal[] = [];
    for (const each of objects) {
      if (each.kind === 'Namespace') continue;
      const resource = await kinds.find(each);
      const isExtra = each.metadata?.labels?.[EXTRA_LABEL] !== undefined;
      if (resource === undefined || (isExtra && !resource.namespaced)) {
        const message = resource === undefined ? 'there is no such kind' : 'objects of this kind are in no namespace';
        refusals.push({ object: each, causes: [], message: `${message}: ${each.apiVersion ?? ''} ${each.kind ?? ''}` });
        continue;
      }
      const object = placed(each, { namespace });
      const isAccount = each.kind === 'ServiceAccount' && !isExtra;
      if (isAccount && answers.length > 0) continue;
      const dryRun = isAccount ? {} : { dryRun: true, strict: true };
      const refused = await refusalOf(() => client.create(resource, object, dryRun), object);
      if (refused !== undefined) refusals.push(refused);
    }
    answers.push(refusals);
  }
  return answers;
}

async function refusalOf(call: () => Promise<unknown>, object: KubernetesObject): Promise<Refusal | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.isTransient || error.status === 401) {
      throw new SetupError(`the cluster cannot be asked: ${error.message}`, { cause: error });
    }
    const causes = (error.details?.causes ?? []).flatMap(({ field, message = '' }) =>
      field === undefined ? [] : [{ field, message }],
    );
    return { object, causes, message: error.answer };
  }
}

function placed<T extends KubernetesObject>(object: T, place: { name?: string; namespace?: string }): T {
  return { ...object, metadata: { ...object.metadata, ...place } };
}
