import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { labSpecOf, type ObservedLab } from '../../../src/domain/lab/observed.ts';
import type { ObservedPod } from '../../../src/domain/lab/pod.ts';
import {
  decide,
  type Decision,
  decideOrphan,
  type LabMemory,
  type LabTimings,
  type OrphanDecision,
} from '../../../src/reconcile/labs/decide.ts';
import { aContainer, anIntent, aNamespace, aPod, aSpec, CREATED, ended } from '../support/observed.ts';
import { anyLab, anyMemory } from '../support/any-lab.ts';

const TIMINGS: LabTimings = {
  patience: { machine: 300_000, image: 120_000, container: 60_000 },
  failedRetention: 3_600_000,
  namespaceRetention: 900_000,
  leftoverGrace: 300_000,
  clockSkew: 0,
};
const NOTHING = { podSeen: false, trouble: null };
const FAILURE = { reason: 'Error', message: 'It ended.', at: CREATED + 1_000, status: 'failed' } as const;
const RUNNING = { phase: 'Running', node: 'n', containers: [aContainer({ runningSince: CREATED })] } as const;

function decideAt(ms: number, lab: Partial<ObservedLab>, memory: Partial<LabMemory> = {}, timings = TIMINGS): Decision {
  const observed = { namespace: undefined, pod: undefined, ...lab, intent: lab.intent ?? anIntent() };
  const left = labSpecOf(observed.intent).deadline + timings.clockSkew - (CREATED + ms);
  return decide(observed, { ...NOTHING, left, ...memory }, timings, CREATED + ms);
}

function decideOrphanAt(
  ms: number,
  lab: Partial<Omit<ObservedLab, 'intent'>>,
  { leftoverForMs = 0, timings = TIMINGS } = {},
): OrphanDecision {
  return decideOrphan({ namespace: undefined, pod: undefined, ...lab }, leftoverForMs, timings, CREATED + ms);
}

const withPod = (pod: Partial<ObservedPod>) => ({ intent: anIntent(), namespace: aNamespace(), pod: aPod(pod) });
const trouble = (reason: 'Unschedulable' | 'ImagePullError' | 'ImageNotFound', afterMs: number, forMs: number) => {
  const waitsFor = ({ Unschedulable: 'machine', ImagePullError: 'image', ImageNotFound: undefined } as const)[reason];
  return { trouble: { reason, message: 'It waits.', afterMs, forMs, ...(waitsFor === undefined ? {} : { waitsFor }) } };
};

describe('a lab that is wanted', () => {
  it.each<[string, Partial<ObservedLab>, Decision['do']]>([
    ['nothing is there', { intent: anIntent() }, 'make-objects'],
    ['only its namespace is there', { intent: anIntent(), namespace: aNamespace() }, 'make-objects'],
    [
      'its namespace is still on its way out',
      { intent: anIntent(), namespace: aNamespace({ terminating: true }) },
      'wait-for-namespace',
    ],
    ['the pod of an earlier spawn is there', withPod({ spawnId: 'earlier' }), 'remove-leftover-pod'],
    ['its pod is on its way', withPod({}), 'follow-pod'],
    ['its pod runs and does not answer', withPod({ ...RUNNING }), 'follow-pod'],
    ['its pod answers', withPod({ ...RUNNING, ready: true }), 'report-running'],
    ['its pod has answered before', withPod({ ...RUNNING, started: true }), 'report-running'],
    ['its pod is deleted', withPod({ ...RUNNING, ready: true, terminating: true }), 'fail'],
    ['its pod has ended', withPod({ phase: 'Failed', containers: [aContainer({ terminated: ended(1) })] }), 'fail'],
    ['its pod ended before it was seen to run', withPod({ phase: 'Succeeded' }), 'fail'],
  ])('and %s', (_what, lab, decision) => {
    expect(decideAt(1_000, lab).do).toBe(decision);
  });

  it.each<[string, Partial<ObservedLab>, Partial<LabMemory>, Decision['do'], string?]>([
    ['waits for its objects', { intent: anIntent() }, {}, 'fail', 'QuotaExceeded'],
    ['has a pod on its way', withPod({}), { podSeen: true }, 'fail', 'QuotaExceeded'],
    ['runs', withPod({ ...RUNNING, ready: true }), { podSeen: true }, 'report-running'],
    ['has ended', withPod({ phase: 'Failed', reason: 'Evicted' }), { podSeen: true }, 'fail', 'Evicted'],
    ['has lost its pod', { intent: anIntent() }, { podSeen: true }, 'fail', 'DeletedExternally'],
  ])('and exceeds what its user may have, and %s', (_what, lab, memory, what, reason) => {
    const observed = { namespace: undefined, pod: undefined, ...lab, intent: lab.intent ?? anIntent() };
    const exceeded = { reason: 'QuotaExceeded', message: 'It is too much.' } as const;
    const decision = decide(observed, { ...NOTHING, left: 599_000, ...memory }, TIMINGS, CREATED + 1_000, exceeded);
    expect(decision).toMatchObject({ do: what, ...(reason === undefined ? {} : { finding: { reason } }) });
  });

  it('and had a pod that is gone was stopped from outside', () => {
    expect(decideAt(1_000, { intent: anIntent(), namespace: aNamespace() }, { podSeen: true })).toMatchObject({
      do: 'fail',
      finding: { reason: 'DeletedExternally' },
    });
  });

  it.each<[string, Partial<ObservedLab>, Partial<LabMemory>, object]>([
    ['nothing made', { intent: anIntent() }, {}, { reason: 'DeadlineExceeded' }],
    ['a namespace that does not go', { intent: anIntent(), namespace: aNamespace({ terminating: true }) }, {}, {}],
    ['a pod of an earlier spawn that does not go', withPod({ spawnId: 'earlier' }), {}, {}],
    ['a pod that does not answer', withPod({ ...RUNNING }), {}, { reason: 'NotReady' }],
    [
      'a pod that waits',
      withPod({}),
      trouble('ImagePullError', 120_000, 10),
      { reason: 'ImagePullError', message: 'The lab did not start within 600 seconds. It waits.' },
    ],
  ])('has failed at its deadline with %s', (_what, lab, memory, finding) => {
    expect(decideAt(599_999, lab, memory).do).not.toBe('fail');
    expect(decideAt(600_000, lab, memory)).toMatchObject({ do: 'fail', finding });
  });

  it('and runs has no deadline any more', () => {
    expect(decideAt(1e9, withPod({ ...RUNNING, ready: true })).do).toBe('report-running');
  });

  it('is looked at again when its patience with what is wrong ends, and then fails', () => {
    expect(decideAt(0, withPod({}), trouble('ImagePullError', 120_000, 20_000))).toEqual({
      do: 'follow-pod',
      again: 100_000,
    });
    expect(decideAt(0, withPod({}), trouble('ImagePullError', 120_000, 120_000)).do).toBe('fail');
    expect(decideAt(0, withPod({}), trouble('ImageNotFound', 0, 0)).do).toBe('fail');
  });

  it('and finds no place waits for as long as the scheduler may take', () => {
    expect(decideAt(0, withPod({}), trouble('Unschedulable', Infinity, 299_999))).toEqual({
      do: 'follow-pod',
      again: 1,
    });
    expect(decideAt(0, withPod({}), trouble('Unschedulable', Infinity, 300_000)).do).toBe('fail');
  });
});

describe('a lab that does not come up in time', () => {
  it.each([
    [
      'its preparation step hangs',
      aContainer({ name: 'prepare', init: true, runningSince: CREATED }),
      'InitContainerFailed',
      '"prepare"',
    ],
    [
      'only its sidecar runs',
      aContainer({ name: 'istio-proxy', runningSince: CREATED }),
      'DeadlineExceeded',
      'did not start',
    ],
    ['its server does not listen', aContainer({ runningSince: CREATED }), 'NotReady', 'nothing answers'],
  ])('because %s says so', (_why, container, reason, words) => {
    const lab = withPod({ node: 'n', phase: container.init ? 'Pending' : 'Running', containers: [container] });
    expect(decideAt(600_000, lab)).toMatchObject({
      do: 'fail',
      finding: { reason, message: expect.stringContaining(words) as string },
    });
  });

  it('because an earlier pod does not go, or the cluster does not do something, ends with that cause', () => {
    const hindrance = {
      reason: 'ClusterUnavailable',
      message: 'A webhook does not answer.',
    } as const;
    expect(decideAt(600_000, { intent: anIntent({ hindrance }) })).toMatchObject({
      finding: {
        reason: 'ClusterUnavailable',
        message: expect.stringContaining('A webhook') as string,
      },
    });
    const stuck = withPod({
      spawnId: 'earlier',
      terminating: true,
      goneBy: CREATED,
      node: 'n',
    });
    expect(decideAt(600_000, { ...stuck, intent: anIntent({ hindrance }) })).toMatchObject({
      finding: {
        reason: 'PodStuck',
        message: expect.stringContaining('its machine (n)') as string,
      },
    });
  });

  it('waits for each thing as long as the settings say, whatever the trouble itself would give it', () => {
    const timings = { ...TIMINGS, patience: { machine: 1_000, image: 2_000, container: 3_000 } };
    for (const [waitsFor, longest] of Object.entries(timings.patience)) {
      const after = (forMs: number) => ({
        trouble: { reason: 'Error', message: 'x', afterMs: 0, waitsFor: waitsFor as 'machine', forMs } as const,
      });
      expect(decideAt(0, withPod({}), after(longest - 1), timings)).toEqual({ do: 'follow-pod', again: 1 });
      expect(decideAt(0, withPod({}), after(longest), timings).do).toBe('fail');
    }
  });
});

describe('a lab that is over', () => {
  it('is cleaned up, kept for the administrators, and forgotten', () => {
    const failed = anIntent({ failure: FAILURE });
    expect(decideAt(2_000, { ...withPod({}), intent: failed })).toEqual({ do: 'clean-up', intent: failed });
    const cleaned = { ...failed, cleaned: true };
    expect(decideAt(2_000, { intent: cleaned })).toEqual({ do: 'nothing', again: 3_599_000 });
    expect(decideAt(3_601_000, { intent: cleaned })).toEqual({ do: 'forget-failure', intent: cleaned });
  });

  it('goes when it is deleted, whatever else is so', () => {
    const deleting = anIntent({ deleting: true, failure: FAILURE, cleaned: true });
    expect(decideAt(1e9, { ...withPod({ ...RUNNING, ready: true }), intent: deleting })).toEqual({
      do: 'clean-up',
      intent: deleting,
    });
  });
});

describe('what is there without a lab', () => {
  it('is kept for the next one, and then collected, unless it is to be kept for good', () => {
    const namespace = aNamespace({ keptSince: CREATED });
    expect(decideOrphanAt(1_000, { namespace })).toEqual({ do: 'nothing', again: 899_000 });
    expect(decideOrphanAt(900_000, { namespace })).toEqual({ do: 'collect-namespace', namespace, leftover: false });
    expect(decideOrphanAt(1e9, { namespace: { ...namespace, permanent: true } })).toEqual({ do: 'nothing' });
  });

  it('is reported, and collected when nobody has asked for it after a while', () => {
    const namespace = aNamespace();
    expect(decideOrphanAt(0, { namespace })).toEqual({ do: 'report-leftover', again: 10_000, loud: false });
    expect(decideOrphanAt(0, { namespace }, { leftoverForMs: 10_000 })).toEqual({
      do: 'report-leftover',
      again: 290_000,
      loud: true,
    });
    expect(decideOrphanAt(0, { namespace }, { leftoverForMs: 300_000 }).do).toBe('collect-namespace');
    expect(decideOrphanAt(0, { namespace, pod: aPod() }, { leftoverForMs: 300_000 }).do).toBe('remove-leftover-pod');
    const permanent = aNamespace({ permanent: true });
    expect(decideOrphanAt(0, { namespace: permanent }, { leftoverForMs: 300_000 })).toEqual({ do: 'nothing' });
  });

  it('is left alone while it goes by itself, and when there is nothing', () => {
    expect(decideOrphanAt(0, { namespace: aNamespace({ terminating: true }), pod: aPod() })).toEqual({ do: 'nothing' });
    expect(decideOrphanAt(0, {})).toEqual({ do: 'nothing' });
  });
});

describe('times that another replica has written', () => {
  const timings = { ...TIMINGS, clockSkew: 10_000 };

  it('are given the tolerance for its clock: nothing fails or goes too early by it', () => {
    expect(decideAt(609_999, { intent: anIntent() }, {}, timings).do).toBe('make-objects');
    expect(decideAt(610_000, { intent: anIntent() }, {}, timings).do).toBe('fail');
    const cleaned = anIntent({ failure: FAILURE, cleaned: true });
    expect(decideAt(3_601_000, { intent: cleaned }, {}, timings)).toEqual({ do: 'nothing', again: 10_000 });
    const namespace = aNamespace({ keptSince: CREATED });
    expect(decideOrphanAt(900_000, { namespace }, { timings })).toEqual({ do: 'nothing', again: 10_000 });
  });
});

describe('whatever is observed', () => {
  it('there is one decision, the same each time, that says when to look again if nothing else will', () => {
    fc.assert(
      fc.property(anyLab, anyMemory, fc.integer({ min: -1_000, max: 4_000_000 }), ({ intent, ...rest }, known, ms) => {
        const memory = { ...known, left: intent === undefined ? 0 : labSpecOf(intent).deadline - (CREATED + ms) };
        const decideIt = () =>
          intent === undefined
            ? decideOrphan(rest, memory.trouble?.forMs ?? 0, TIMINGS, CREATED + ms)
            : decide({ intent, ...rest }, memory, TIMINGS, CREATED + ms);
        const decision = decideIt();
        expect(decideIt()).toEqual(decision);
        if ('again' in decision) expect(decision.again).toBeGreaterThan(0);
        const wanted = intent !== undefined && !intent.deleting && intent.failure === null;
        // These change the cluster, or throw and are tried again; a running lab waits for nothing.
        const acts = ['make-objects', 'fail', 'report-running'];
        if (!wanted) expect(acts).not.toContain(decision.do);
        else if (!acts.includes(decision.do)) {
          expect(decision).toHaveProperty('again');
          expect((decision as { again: number }).again).toBeLessThanOrEqual(aSpec().deadline - (CREATED + ms));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('nothing of the lab that was asked for is removed unless it is gone, failed or to be deleted', () => {
    fc.assert(
      fc.property(anyLab, anyMemory, ({ intent, ...rest }, memory) => {
        if (intent === undefined) return;
        const left = labSpecOf(intent).deadline - CREATED;
        const decision = decide({ intent, ...rest }, { ...memory, left }, TIMINGS, CREATED);
        if (decision.do === 'remove-leftover-pod') expect(decision.pod.spawnId).not.toBe(intent.spec.spawnId);
        if (decision.do === 'clean-up') expect(intent.deleting || intent.failure !== null).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
