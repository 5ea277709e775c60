import { describe, expect, it } from 'vitest';
import { type Placement, whyNoLabs } from '../../../../src/domain/image/prepull/placement.ts';
import type { PullNode } from '../../../../src/domain/image/prepull/node.ts';
import { aNode } from './situations.ts';

const taint = (effect: string, value = 'yes') => ({ key: 'gpu', value, effect });
const why = (node: Partial<PullNode>, placement: Partial<Placement> = {}) =>
  whyNoLabs(aNode(node), { nodeSelector: {}, tolerations: [], nodeSelectorTerms: undefined, ...placement });
const term = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, values }],
});

describe('a node', () => {
  it.each<[string, Partial<PullNode>, string | undefined]>([
    ['is eligible as such', {}, undefined],
    ['that is not ready is not', { isReady: false }, 'Node is not ready'],
    ['that is cordoned is not', { isUnschedulable: true }, 'Node is unschedulable'],
    ['short of disk is not', { hasDiskPressure: true }, 'Node is short of disk space'],
    ['tainted with NoSchedule is not', { taints: [taint('NoSchedule')] }, 'Node is tainted (NoSchedule, gpu = yes)'],
    ['tainted with NoExecute is not', { taints: [taint('NoExecute', '')] }, 'Node is tainted (NoExecute, gpu)'],
    ['that is preferred not to be used is', { taints: [taint('PreferNoSchedule')] }, undefined],
  ])('%s', (_what, node, expected) => {
    expect(why(node)).toBe(expected);
  });

  it.each<[object, string, boolean]>([
    [{ key: 'gpu', value: 'yes' }, 'NoSchedule', true],
    [{ key: 'gpu', operator: 'Equal', value: 'yes', effect: 'NoSchedule' }, 'NoSchedule', true],
    [{ key: 'gpu', operator: 'Exists' }, 'NoExecute', true],
    [{ operator: 'Exists' }, 'NoExecute', true],
    [{ key: 'gpu', value: 'no' }, 'NoSchedule', false],
    [{ key: 'gpu' }, 'NoSchedule', false],
    [{ key: 'other', operator: 'Exists' }, 'NoSchedule', false],
    [{ key: 'gpu', operator: 'Exists', effect: 'NoExecute' }, 'NoSchedule', false],
    // Labs would be evicted after a minute.
    [{ key: 'gpu', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 }, 'NoExecute', false],
  ])('with the toleration %j of labs, tainted with %s', (toleration, effect, isEligible) => {
    expect(why({ taints: [taint(effect)] }, { tolerations: [toleration] }) === undefined).toBe(isEligible);
  });

  it('that is cordoned is eligible where labs tolerate that', () => {
    const tolerations = [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }];
    const taints = [{ key: 'node.kubernetes.io/unschedulable', value: '', effect: 'NoSchedule' }];
    expect(why({ isUnschedulable: true, taints }, { tolerations })).toBeUndefined();
  });

  it('has the labels of nodeSelector', () => {
    const nodeSelector = { pool: 'labs' };
    expect(why({ labels: { pool: 'labs', zone: 'a' } }, { nodeSelector })).toBeUndefined();
    expect(why({ labels: { pool: 'infra' } }, { nodeSelector })).toBe(
      'Node does not have the labels that labs ask for',
    );
  });

  it.each<[string, ReturnType<typeof term>[], boolean]>([
    ['one of the values', [term('zone', 'In', 'a', 'b')], true],
    ['none of the values', [term('zone', 'NotIn', 'a')], false],
    ['another label', [term('missing', 'NotIn', 'a')], true],
    ['a label', [term('zone', 'Exists')], true],
    ['no such label', [term('missing', 'DoesNotExist')], true],
    ['a larger number', [term('cpus', 'Gt', '15')], true],
    ['a smaller number', [term('cpus', 'Lt', '16')], false],
    ['a number where there is none', [term('zone', 'Gt', '1')], false],
    ['one of several terms', [term('missing', 'Exists'), term('zone', 'Exists')], true],
    ['an empty term', [{ matchExpressions: [] }], false],
  ])('is matched by node affinity for %s: %j', (_what, nodeSelectorTerms, isEligible) => {
    expect(why({ labels: { zone: 'a', cpus: '16' } }, { nodeSelectorTerms }) === undefined).toBe(isEligible);
  });

  it('is matched by its name, together with expressions of the same term', () => {
    const matchFields = [{ key: 'metadata.name', operator: 'In', values: ['node-1'] }];
    const both = { matchFields, ...term('zone', 'Exists') };
    expect(why({ labels: { zone: 'a' } }, { nodeSelectorTerms: [both] })).toBeUndefined();
    expect(why({}, { nodeSelectorTerms: [both] })).toBe('Node does not match the node affinity of labs');
  });
});
