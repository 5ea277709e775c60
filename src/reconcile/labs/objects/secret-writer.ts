import type { V1Secret } from '@kubernetes/client-node';
import type { LabObjects } from '../../../builder/lab/lab-builder.ts';
import { SPAWN_LABEL } from '../../../domain/lab/object-names.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import { isAlreadyThere } from '../../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../../storage/kubernetes/resources.ts';
import { oneLabSelector } from '../observe.ts';
import { mayBeThere, nameTaken, notYet } from './object-writer.ts';

export interface SecretsRequest {
  readonly slug: string;
  readonly spawnId: string;
  readonly objects: Pick<LabObjects, 'envSecret' | 'secret' | 'pullSecret'> & {
    readonly extraSecrets: readonly V1Secret[];
  };
  /** Asked before anything is removed that may belong to another spawn: whether the lab is still wanted, by the API server's word. */
  readonly confirm: () => Promise<boolean>;
}

/** Makes the Secrets of labs, which the controller has no right to read. */
export class SecretWriter {
  readonly #client: KubeClient;
  readonly #controller: string;

  /** @param controller the controller's own namespace: what its objects are labelled with */
  constructor(client: KubeClient, controller: string) {
    this.#client = client;
    this.#controller = controller;
  }

  /**
   * Secrets are written blindly: the controller has no right to read them. Their names are the same for each spawn, and a
   * label says whose they are. A name that is taken is taken by one of three:
   *
   * - another spawn of this lab, which was interrupted: its Secrets are removed by that label;
   * - this spawn, at the hands of another replica or of an earlier run: then it is there, and as good as ours;
   * - somebody else.
   *
   * Nothing of this spawn is ever removed, and nothing at all before the API server has said that the spawn is still wanted.
   *
   * @returns the uid of the Secret with the environment; undefined when the spawn is not wanted any more
   */
  async write({ objects, slug, spawnId, confirm }: SecretsRequest): Promise<string | undefined> {
    const { envSecret, secret, pullSecret, extraSecrets } = objects;
    const where = envSecret.metadata?.namespace ?? '';
    const ours = oneLabSelector(this.#controller, slug);
    const secrets = [envSecret, secret, pullSecret, ...extraSecrets].filter((each) => each !== undefined);
    const uids = new Map<string, string>();
    const uid = () => uids.get(envSecret.metadata?.name ?? '');
    let taken = await this.#createSecrets(secrets, uids, mayBeThere);
    if (taken.length === 0) return uid();
    if (!(await confirm())) return undefined;
    await this.#client.deleteCollection(Secrets, where, `${ours},${SPAWN_LABEL}!=${spawnId}`);
    // The right to delete a collection is enough to be told what is in it.
    const look = async () => {
      const found = await this.#client.deleteCollection(Secrets, where, ours, { dryRun: true });
      const ofSpawn = found.filter(({ metadata }) => metadata?.labels?.[SPAWN_LABEL] === spawnId);
      for (const { metadata } of ofSpawn) uids.set(metadata?.name ?? '', metadata?.uid ?? '');
      return new Map(found.map(({ metadata }) => [metadata?.name, metadata?.labels?.[SPAWN_LABEL]]));
    };
    // What this spawn has made already needs no room in a quota.
    const made = await look();
    taken = await this.#createSecrets(
      taken.filter(({ metadata }) => made.get(metadata?.name ?? '') !== spawnId),
      uids,
    );
    if (taken.length === 0) return uid();
    // Another replica may have made them between that look and this try.
    const spawnOf = await look();
    for (const { metadata } of taken) {
      const name = metadata?.name ?? '';
      // Or have removed one of an earlier spawn between this try and this look.
      if (!spawnOf.has(name)) throw nameTaken('Secret', `${where}/${name}`, SECRET_GRACE_MS);
      if (spawnOf.get(name) !== spawnId) throw notYet('Secret', where, name);
    }
    return uid();
  }

  /**
   * @param uids get those that are made, by name
   * @returns those whose name is taken
   */
  async #createSecrets(
    secrets: readonly V1Secret[],
    uids: Map<string, string>,
    isTaken: (error: unknown) => boolean = isAlreadyThere,
  ): Promise<V1Secret[]> {
    const write = (each: V1Secret) => this.#client.create(Secrets, each, METADATA_ONLY);
    const results = await Promise.allSettled(secrets.map(write));
    for (const result of results) {
      if (result.status === 'rejected' && !isTaken(result.reason)) throw result.reason;
      if (result.status === 'fulfilled') uids.set(result.value.metadata?.name ?? '', result.value.metadata?.uid ?? '');
    }
    return secrets.filter((_, index) => results[index]?.status === 'rejected');
  }
}

/** For how long a Secret that is there and cannot be seen may be one that is being replaced; several replicas may do that. */
const SECRET_GRACE_MS = 3_000;
