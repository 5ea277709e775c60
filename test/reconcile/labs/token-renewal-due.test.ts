import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ObservedIntent, ObservedLab } from '../../../src/domain/lab/observed.ts';
import type { ObservedPod } from '../../../src/domain/lab/pod.ts';
import { hasRenewableToken, renewalDueIn } from '../../../src/reconcile/labs/token-renewal.ts';
import { aContainer, anIntent, aNamespace, aPod, aSpec, CREATED, ended } from '../support/observed.ts';

const LIFETIME = 3_600_000;
const ANY = { lifetime: LIFETIME, validSince: 0 };
const HALF = CREATED + LIFETIME / 2;
const running: Partial<ObservedPod> = { phase: 'Running', ready: true, started: true, node: 'node-1' };

function aSignedLab(intent: Partial<ObservedIntent> = {}, pod: Partial<ObservedPod> | null = running): ObservedLab {
  return {
    intent: anIntent({ spec: aSpec({ signedToken: true }), ...intent }),
    namespace: aNamespace(),
    pod: pod === null ? undefined : aPod(pod),
  };
}

function isRenewalDue(lab: ObservedLab, tokens: typeof ANY, now: number, madeAt?: number): boolean {
  return hasRenewableToken(lab) && renewalDueIn(lab.intent, tokens, now, madeAt) <= 0;
}

describe('a token is renewed', () => {
  it('between 45 and 50 percent of its lifetime, at a moment that is the same for everybody', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.integer({ min: 0, max: LIFETIME }), (spawnId, age) => {
        const lab = aSignedLab({ spec: aSpec({ signedToken: true, spawnId }) }, { ...running, spawnId });
        const due = isRenewalDue(lab, ANY, CREATED + age);
        expect(isRenewalDue(lab, ANY, CREATED + age)).toBe(due);
        if (age < LIFETIME * 0.45) expect(due).toBe(false);
        if (age >= LIFETIME * 0.5) expect(due).toBe(true);
      }),
    );
  });

  it('by the time that the intent tells of the last renewal, or by a later one of this process', () => {
    expect(isRenewalDue(aSignedLab(), ANY, HALF)).toBe(true);
    expect(isRenewalDue(aSignedLab({ tokenRenewedAt: HALF - 1 }), ANY, HALF)).toBe(false);
    expect(isRenewalDue(aSignedLab(), ANY, HALF, HALF - 1)).toBe(false);
    expect(isRenewalDue(aSignedLab({ tokenRenewedAt: HALF - 1 }), ANY, HALF, CREATED)).toBe(false);
  });

  it('at once when the key that it was signed with is gone', () => {
    expect(isRenewalDue(aSignedLab(), { ...ANY, validSince: CREATED }, CREATED + 1)).toBe(false);
    expect(isRenewalDue(aSignedLab(), { ...ANY, validSince: CREATED + 1 }, CREATED + 1)).toBe(true);
  });

  it('at once when it was made in what is the future, since a clock was set back', () => {
    expect(isRenewalDue(aSignedLab(), ANY, CREATED - 30_000)).toBe(false);
    expect(isRenewalDue(aSignedLab(), ANY, CREATED - 61_000)).toBe(true);
  });

  it('also while the lab waits for a node', () => {
    expect(isRenewalDue(aSignedLab({}, {}), ANY, HALF)).toBe(true);
  });

  const failure = { reason: 'Evicted', message: 'Evicted.', at: CREATED, status: 'failed' } as const;
  const exited = { phase: 'Failed', containers: [aContainer({ terminated: ended(1) })] } as const;
  it.each<[string, ObservedLab]>([
    ['without an intent', { ...aSignedLab(), intent: undefined }],
    ['with a token that is not ours', aSignedLab({ spec: aSpec() })],
    ['that is being deleted', aSignedLab({ deleting: true })],
    ['that has failed', aSignedLab({ failure })],
    ['without a pod', aSignedLab({}, null)],
    ['whose pod is that of an earlier spawn', aSignedLab({}, { ...running, spawnId: 'another' })],
    ['whose pod is ending', aSignedLab({}, { ...running, terminating: true })],
    ['whose pod has ended', aSignedLab({}, exited)],
  ])('never for a lab %s', (_what, lab) => {
    expect(isRenewalDue(lab, ANY, CREATED + 10 * LIFETIME)).toBe(false);
  });
});
