import type { LabSpec } from '../../../src/domain/lab/lab.ts';
import type { ObservedIntent, ObservedNamespace } from '../../../src/domain/lab/observed.ts';
import { LAB_CONTAINER, type ObservedContainer, type ObservedPod } from '../../../src/domain/lab/pod.ts';

export const SPAWN = 'b6f2a7c0-0000-4000-8000-000000000001';
/** When the lab was asked for, in milliseconds since the epoch. */
export const CREATED = 1_795_000_000_000;

export function aSpec(changes: Partial<LabSpec> = {}): LabSpec {
  return {
    spawnId: SPAWN,
    user: { username: 'rachel', name: 'Rachel', uid: 1000, gid: 1000, groups: [{ name: 'rachel', id: 1000 }] },
    servername: '',
    namespace: 'lab-rachel',
    options: { size: 'small', enable_debug: false, reset_user_env: false, image: 'example.org/lab:1' },
    image: { reference: 'example.org/lab:1', name: 'Lab', digest: '' },
    resources: { limits: { cpu: 1, memory: 3e9 }, requests: { cpu: 0.25, memory: 1e9 } },
    extendedResources: {},
    quota: null,
    servicePrefix: '/user/rachel/',
    createdAt: CREATED,
    deadline: CREATED + 600_000,
    ...changes,
  };
}

export function anIntent(changes: Partial<ObservedIntent> = {}): ObservedIntent {
  return {
    slug: 'rachel',
    name: 'lab-rachel',
    uid: 'intent-1',
    resourceVersion: '10',
    spec: aSpec(),
    damaged: false,
    deleting: false,
    failure: null,
    cleaned: false,
    build: null,
    builtImage: null,
    hindrance: null,
    tokenRenewedAt: null,
    ...changes,
  };
}

export function aNamespace(changes: Partial<ObservedNamespace> = {}): ObservedNamespace {
  return {
    slug: 'rachel',
    name: 'lab-rachel',
    uid: 'namespace-1',
    resourceVersion: '11',
    username: 'rachel',
    servername: '',
    terminating: false,
    specHash: 'hash',
    keptSince: null,
    permanent: false,
    ...changes,
  };
}

export function aContainer(changes: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    name: LAB_CONTAINER,
    init: false,
    restarts: 0,
    waiting: null,
    terminated: null,
    runningSince: null,
    imageDigest: null,
    ...changes,
  };
}

export function ended(exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error') {
  return { reason, exitCode, message: '', finishedAt: CREATED + 1_000 };
}

export function aPod(changes: Partial<ObservedPod> = {}): ObservedPod {
  return {
    namespace: 'lab-rachel',
    name: 'lab',
    uid: 'pod-1',
    resourceVersion: '12',
    slug: 'rachel',
    spawnId: SPAWN,
    phase: 'Pending',
    ready: false,
    started: false,
    terminating: false,
    goneBy: null,
    finalizers: [],
    node: null,
    podIp: null,
    serviceIp: null,
    addressing: {},
    reason: null,
    message: null,
    unschedulable: null,
    disruption: null,
    containers: [],
    ...changes,
  };
}
