import type { KubernetesObject } from '@kubernetes/client-node';
import type { ObservedNamespace } from '../../../domain/lab/observed.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import { isAlreadyThere, KubeError } from '../../../storage/kubernetes/kube-error.ts';
import type { Resource } from '../../../storage/kubernetes/resources.ts';
import { isOurs } from '../observe.ts';
import { isEqualWhereGiven } from './is-equal.ts';
import { refusalOf, Refused } from './refusal.ts';

/** Makes single objects of labs, whatever has been made before. */
export class ObjectWriter {
  readonly #client: KubeClient;
  readonly #controller: string;

  /** @param controller the controller's own namespace: what its objects are labelled with */
  constructor(client: KubeClient, controller: string) {
    this.#client = client;
    this.#controller = controller;
  }

  /**
   * Creates an object, or finds the one that has its name: see `mayBeThere`.
   *
   * @returns neither where that one has gone since
   * @throws the refusal where nothing is there
   */
  async createOrFind<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
  ): Promise<{ readonly created?: T; readonly found?: T }> {
    const { namespace, name = '' } = object.metadata ?? {};
    try {
      return { created: await this.#client.create(resource, object, METADATA_ONLY) };
    } catch (error) {
      if (!mayBeThere(error)) throw error;
      const found = await this.#client.get(resource, { namespace, name });
      if (found !== undefined) return { found };
      if (!isAlreadyThere(error)) throw error;
      return {};
    }
  }

  /** @param confirm asked before an object is replaced that may be of another spawn */
  async ensure<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    slug: string,
    confirm: () => Promise<boolean> = () => Promise.resolve(true),
  ): Promise<T> {
    const { namespace, name = '' } = object.metadata ?? {};
    const { created, found } = await this.createOrFind(resource, object);
    if (created !== undefined) return created;
    if (found === undefined) return this.#client.create(resource, object, METADATA_ONLY);
    if (!isOurs(found, this.#controller, slug)) throw nameTaken(resource.kind, `${namespace}/${name}`);
    if (found.metadata?.deletionTimestamp !== undefined) throw notYet(resource.kind, namespace, name);
    if (isEqualWhereGiven(object, found)) return found;
    if (!(await confirm())) throw notYet(resource.kind, namespace, name);
    await this.#client.deleteAndWait(resource, { namespace, name }, { uid: found.metadata?.uid ?? '' });
    return this.#client.create(resource, object, METADATA_ONLY);
  }

  async confirm<T extends KubernetesObject>(resource: Resource<T>, object: T): Promise<void> {
    try {
      await this.#client.create(resource, object, METADATA_ONLY);
    } catch (error) {
      if (isAlreadyThere(error)) return;
      const { namespace, name = '' } = object.metadata ?? {};
      if (!mayBeThere(error) || (await this.#client.get(resource, { namespace, name })) === undefined) throw error;
    }
  }

  /** Removes what an earlier lab of a kept namespace had and this one has not, such as a quota. */
  async remove<T extends KubernetesObject>(
    resource: Resource<T>,
    existing: ObservedNamespace | undefined,
    name: string,
    slug: string,
  ): Promise<void> {
    if (existing === undefined) return;
    const ref = { namespace: existing.name, name };
    const found = await this.#client.get(resource, ref);
    if (found === undefined || !isOurs(found, this.#controller, slug)) return;
    await this.#client.delete(resource, ref, { uid: found.metadata?.uid ?? '' });
  }
}

/**
 * Whether the object may be there already: an API server looks at quotas, limits and webhooks before it looks whether the
 * name is taken, so that it may refuse what would need nothing new.
 */
export function mayBeThere(error: unknown): error is KubeError {
  return isAlreadyThere(error) || (error instanceof KubeError && refusalOf(error) !== undefined);
}

/**
 * As `Promise.all`, but nothing is under way any more when it rejects: a call that was left behind could still make
 * something that a delete has just removed.
 */
export async function allEnded<T>(calls: ReadonlyArray<T | Promise<T>>): Promise<T[]> {
  const results = await Promise.allSettled(calls);
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (errors.length > 0) throw errors.find((error) => refusalOf(error) !== undefined) ?? errors[0];
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

export function nameTaken(kind: string, name: string, graceMs = 0): Refused {
  const message = `The name of the lab's ${kind} (${name}) is taken by something that is not Labwright's.`;
  return new Refused('NameTaken', message, { graceMs });
}

/** Something is in between two states; the next try finds it settled. */
export function notYet(kind: string, namespace: string | undefined, name: string): KubeError {
  return new KubeError(
    { verb: 'use', kind, namespace, name },
    { status: 0, reason: 'NotYet', message: 'it is there, and changing' },
  );
}
