import type { V1ContainerImage, V1Node, V1NodeStatus } from '@kubernetes/client-node';
import { isDeepStrictEqual } from 'node:util';
import type { PullNode } from '../../../domain/image/prepull/node.ts';
import { parseQuantity } from '../../../domain/kubernetes/quantity.ts';
import type { Cached } from '../../../storage/kubernetes/reflector.ts';

export interface CachedNode extends Cached {
  readonly node: PullNode;
}

const DIGEST = /@(sha256:[0-9a-f]{64})$/;

/** Of a node of ten kilobytes and more, what decides about images: less than one. */
export function observeNode({ metadata = {}, spec, status }: V1Node, intern: (text: string) => string): CachedNode {
  const { name = '', uid = '', resourceVersion = '', labels = {}, creationTimestamp = 0 } = metadata;
  const node = {
    name,
    labels: internAll(labels, intern),
    taints: (spec?.taints ?? []).map(({ key, value = '', effect }) => ({ key, value, effect })),
    isUnschedulable: spec?.unschedulable ?? false,
    createdAt: new Date(creationTimestamp).getTime(),
    ...observeStatus(status ?? {}, intern),
  };
  return { uid, resourceVersion, node };
}

function observeStatus(status: V1NodeStatus, intern: (text: string) => string) {
  return {
    isReady: isTrue(status, 'Ready'),
    hasDiskPressure: isTrue(status, 'DiskPressure'),
    ephemeralStorage: parseQuantity(status.allocatable?.['ephemeral-storage']) ?? null,
    architecture: status.nodeInfo?.architecture ?? null,
    digests: digestsOf(status.images ?? [], intern),
  };
}

function isTrue({ conditions }: V1NodeStatus, wanted: string): boolean {
  return conditions?.find(({ type }) => type === wanted)?.status === 'True';
}

function digestsOf(images: readonly V1ContainerImage[], intern: (text: string) => string): Set<string> {
  const digests = images.flatMap(({ names }) =>
    // Only the digest counts: a tag moves. Some runtimes list images without names (null).
    (names ?? []).flatMap((name) => {
      const digest = DIGEST.exec(name)?.[1];
      return digest === undefined ? [] : [intern(digest)];
    }),
  );
  return new Set(digests);
}

/** Whether anything has changed that decides: a node writes its status every five minutes all the same. */
export function isSameNode(one: PullNode | undefined, other: PullNode | undefined): boolean {
  return isDeepStrictEqual(one, other);
}

function internAll(labels: Readonly<Record<string, string>>, intern: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [intern(key), intern(value)]));
}

/** Digests and labels are mostly the same on all nodes. */
const MOST_TEXTS = 20_000;

/** One copy of each text, also of what is cut out of a longer one. Forgets all when there are too many. */
export function interner(): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size >= MOST_TEXTS) known.clear();
    // A slice would keep the whole text that it is of.
    const copy = Buffer.from(text).toString();
    known.set(copy, copy);
    return copy;
  };
}
