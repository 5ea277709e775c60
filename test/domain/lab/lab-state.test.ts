import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildInternalUrl,
  type LabAddressing,
  parseAddressing,
  writeAddressing,
} from '../../../src/domain/lab/internal-url.ts';
import { recreateLabState } from '../../../src/domain/lab/lab-state.ts';
import type { ObservedIntent, ObservedLab } from '../../../src/domain/lab/observed.ts';
import type { ObservedPod } from '../../../src/domain/lab/pod.ts';
import { anyLab } from '../../reconcile/support/any-lab.ts';
import { aContainer, anIntent, aNamespace, aPod, aSpec, CREATED, ended } from '../../reconcile/support/observed.ts';

const DNS: LabAddressing = { mode: 'serviceDns', port: 8888, clusterDomain: undefined };
const URL_OF_LAB = 'http://lab.lab-rachel.svc:8888/user/rachel/';

function stateOf(lab: Partial<ObservedLab>, addressing = DNS) {
  return recreateLabState({ intent: anIntent(), namespace: undefined, pod: undefined, ...lab }, addressing);
}

const RUNS = { phase: 'Running', node: 'n', ready: true } as const;
const waiting = (reason: string, message = '') => aContainer({ waiting: { reason, message } });
const up = aContainer({ runningSince: CREATED, imageDigest: 'sha256:1', restarts: 1 });

describe('the state of a lab', () => {
  it('whose pod has been there and is not any more is failed from that moment on', () => {
    const lab = { intent: anIntent(), namespace: aNamespace(), pod: undefined };
    expect(recreateLabState(lab, DNS, true)).toMatchObject({ status: 'failed', reason: 'DeletedExternally' });
    expect(recreateLabState(lab, DNS, false)).toMatchObject({ status: 'pending', reason: null });
  });

  it.each<[string, Partial<ObservedPod>, string]>([
    ['because of a finalizer', { finalizers: ['example.org/hold'] }, 'the finalizer "example.org/hold" holds it'],
    ['because its machine says nothing', { node: 'node-7' }, 'its machine (node-7) does not confirm that it has ended'],
  ])('whose pod does not go %s says so, half a minute after its grace period', (_why, pod, words) => {
    const deleted = aPod({
      ...RUNS,
      ...pod,
      terminating: true,
      goneBy: CREATED,
    });
    const at = (intent: ObservedIntent, now: number) =>
      recreateLabState({ intent, namespace: aNamespace(), pod: deleted }, DNS, true, now);
    const ending = anIntent({ deleting: true });
    expect(at(ending, CREATED + 29_999)).toMatchObject({
      status: 'terminating',
      reason: null,
    });
    expect(at(ending, CREATED + 30_000)).toMatchObject({
      status: 'terminating',
      reason: 'PodStuck',
    });
    expect(at(ending, CREATED + 30_000)?.message).toContain(`The pod of the lab does not go: ${words}`);
    // The next one waits for it.
    const next = anIntent({ spec: aSpec({ spawnId: 'next' }) });
    const state = recreateLabState(
      { intent: next, namespace: aNamespace(), pod: deleted },
      DNS,
      false,
      CREATED + 30_000,
    );
    expect(state).toMatchObject({
      status: 'pending',
      phase: 'waiting_for_namespace',
      reason: 'PodStuck',
    });
    expect(state?.message).toContain(`The pod of an earlier lab does not go: ${words}`);
  });

  it.each<[string, Partial<ObservedLab>, string, string, string | null]>([
    ['has just been asked for', {}, 'pending', 'accepted', null],
    ['has a namespace', { namespace: aNamespace() }, 'pending', 'creating', null],
    [
      'waits for its namespace to go',
      { namespace: aNamespace({ terminating: true }) },
      'pending',
      'waiting_for_namespace',
      null,
    ],
    [
      'waits for the pod of an earlier spawn to go',
      { namespace: aNamespace(), pod: aPod({ spawnId: 'earlier', phase: 'Running', ready: true }) },
      'pending',
      'waiting_for_namespace',
      null,
    ],
    ['waits for a machine', { pod: aPod({ unschedulable: '0/3' }) }, 'pending', 'scheduling', 'Unschedulable'],
    ['has a machine', { pod: aPod({ node: 'n' }) }, 'pending', 'pulling', null],
    [
      'cannot have its image',
      { pod: aPod({ node: 'n', containers: [waiting('ErrImagePull', 'not found')] }) },
      'pending',
      'pulling',
      'ImageNotFound',
    ],
    ['starts', { pod: aPod({ node: 'n', phase: 'Running', containers: [up] }) }, 'pending', 'starting', null],
    [
      'runs',
      { pod: aPod({ node: 'n', phase: 'Running', ready: true, started: true, containers: [up] }) },
      'running',
      'running',
      null,
    ],
    [
      'runs on a machine that does not report',
      { pod: aPod({ node: 'n', phase: 'Running', started: true, containers: [up] }) },
      'running',
      'running',
      'NotReady',
    ],
    [
      'is being deleted from outside',
      { pod: aPod({ node: 'n', phase: 'Running', ready: true, terminating: true }) },
      'failed',
      'failed',
      'DeletedExternally',
    ],
    [
      'has crashed',
      { pod: aPod({ phase: 'Failed', containers: [aContainer({ terminated: ended(1) })] }) },
      'failed',
      'failed',
      'Error',
    ],
    [
      'has ended by itself',
      { pod: aPod({ phase: 'Succeeded', containers: [aContainer({ terminated: ended(0) })] }) },
      'terminated',
      'terminated',
      'Exited',
    ],
    [
      'failed, and is remembered',
      { intent: anIntent({ failure: { reason: 'OOMKilled', message: 'x', at: 7, status: 'failed' } }) },
      'failed',
      'failed',
      'OOMKilled',
    ],
    [
      'is to go',
      { intent: anIntent({ deleting: true }), pod: aPod({ phase: 'Running', ready: true }) },
      'terminating',
      'deleting',
      null,
    ],
  ])('that %s', (_what, lab, status, phase, reason) => {
    expect(stateOf(lab)).toMatchObject({ status, phase, reason });
  });

  it('tells where it runs and what', () => {
    const pod = aPod({ node: 'n', phase: 'Running', ready: true, started: true, containers: [up] });
    expect(stateOf({ pod })).toMatchObject({
      internalUrl: URL_OF_LAB,
      node: 'n',
      imageDigest: 'sha256:1',
      restarts: 1,
      startedAt: CREATED,
      finishedAt: null,
    });
  });

  it('is none when nobody has asked for one', () => {
    expect(stateOf({ intent: undefined, namespace: aNamespace(), pod: aPod() })).toBeUndefined();
  });

  it('follows from what is observed alone, whatever that is, and never leads to a lab that is over', () => {
    fc.assert(
      fc.property(
        anyLab,
        fc.constantFrom('serviceDns' as const, 'serviceIp' as const, 'podIp' as const),
        (lab, mode) => {
          const before = structuredClone(lab);
          const state = recreateLabState(lab, { ...DNS, mode });
          expect(recreateLabState(structuredClone(lab), { ...DNS, mode })).toEqual(state);
          expect(lab).toEqual(before);
          expect(state === undefined).toBe(lab.intent === undefined);
          if (state === undefined) return;
          if (!['running', 'pending'].includes(state.status)) expect(state.internalUrl).toBeNull();
          if (state.status === 'failed') expect(state.reason).not.toBeNull();
          expect(state.reason === null).toBe(state.message === null);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('the address of a lab', () => {
  const pod = aPod({ podIp: 'fd00::7', serviceIp: '10.96.0.7' });

  it.each<[Partial<LabAddressing>, string]>([
    [{}, URL_OF_LAB],
    [{ clusterDomain: 'cluster.local' }, 'http://lab.lab-rachel.svc.cluster.local:8888/user/rachel/'],
    [{ mode: 'serviceIp' }, 'http://10.96.0.7:8888/user/rachel/'],
    [{ mode: 'podIp' }, 'http://[fd00::7]:8888/user/rachel/'],
  ])('by %j', (addressing, url) => {
    expect(buildInternalUrl(aSpec(), pod, { ...DNS, ...addressing })).toBe(url);
  });

  it('is the one that its pod was made with, also when another is configured by now', () => {
    const made = { ...pod, addressing: { mode: 'serviceIp', port: 9999 } as const };
    expect(buildInternalUrl(aSpec(), made, DNS)).toBe('http://10.96.0.7:9999/user/rachel/');
    const dns = { ...pod, addressing: { mode: 'serviceDns', port: 8888, clusterDomain: 'old.local' } as const };
    const url = 'http://lab.lab-rachel.svc.old.local:8888/user/rachel/';
    expect(buildInternalUrl(aSpec(), dns, { mode: 'podIp', port: 1, clusterDomain: 'x' })).toBe(url);
  });

  it('survives its annotation, whatever that holds', () => {
    const any = fc.record({
      mode: fc.constantFrom('serviceDns' as const, 'serviceIp' as const, 'podIp' as const),
      port: fc.integer({ min: 1, max: 65_535 }),
      clusterDomain: fc.option(fc.domain(), { nil: undefined }),
    });
    fc.assert(
      fc.property(any, (addressing) => {
        const { clusterDomain, ...rest } = addressing;
        const given = clusterDomain === undefined ? rest : addressing;
        expect(parseAddressing(writeAddressing(addressing))).toEqual(given);
      }),
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const url = buildInternalUrl(aSpec(), { ...pod, addressing: parseAddressing(text) }, DNS);
        expect(url === null || URL.canParse(url)).toBe(true);
      }),
    );
  });

  it('is not known before there is one', () => {
    expect(buildInternalUrl(aSpec(), aPod(), { ...DNS, mode: 'podIp' })).toBeNull();
    expect(buildInternalUrl(aSpec(), aPod(), { ...DNS, mode: 'serviceIp' })).toBeNull();
  });
});
