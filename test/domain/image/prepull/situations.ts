import type { PrepullSettings } from '../../../../src/domain/image/prepull/assess.ts';
import type { PullNode } from '../../../../src/domain/image/prepull/node.ts';
import type { Puller } from '../../../../src/domain/image/prepull/puller.ts';
import type { WantedImage } from '../../../../src/domain/image/wanted-image.ts';

export const NOW = Date.UTC(2026, 10, 30, 12);

export function aNode(change: Partial<PullNode> = {}): PullNode {
  return {
    name: 'node-1',
    labels: {},
    taints: [],
    isUnschedulable: false,
    isReady: true,
    hasDiskPressure: false,
    ephemeralStorage: 2 ** 40,
    architecture: 'amd64',
    digests: new Set(),
    createdAt: NOW - 86_400_000,
    ...change,
  };
}

export function digestOf(number: number): string {
  return `sha256:${String(number).padStart(64, '0')}`;
}

export function anImage(number: number, change: Partial<WantedImage> = {}): WantedImage {
  const digest = digestOf(number);
  const reference = `registry.example/lab:${String(number)}@${digest}`;
  return { reference, digest, name: `Lab ${String(number)}`, size: 2 ** 30, architectures: null, ...change };
}

export function settings(change: Partial<PrepullSettings> = {}): PrepullSettings {
  return {
    placement: { nodeSelector: {}, tolerations: [], nodeSelectorTerms: undefined },
    pullsAtOnce: 10,
    perRegistry: 5,
    timeout: 60_000,
    diskShare: 0.5,
    ...change,
  };
}

export function aPuller(change: Partial<Puller> = {}): Puller {
  return {
    ...{ uid: 'uid', resourceVersion: '1', name: 'prepull-node-1', node: 'node-1', registry: 'registry.example' },
    digests: [digestOf(1)],
    isTerminating: false,
    createdAt: NOW,
    isScheduled: true,
    refusal: undefined,
    outcomes: undefined,
    ...change,
  };
}
