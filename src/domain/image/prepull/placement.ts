import type { V1NodeSelectorRequirement, V1NodeSelectorTerm } from '@kubernetes/client-node';
import type { DeepReadonly } from '../../../util/deep-readonly.ts';
import type { PullNode, Taint } from './node.ts';

export interface Toleration {
  readonly key?: string | undefined;
  readonly operator?: string | undefined;
  readonly value?: string | undefined;
  readonly effect?: string | undefined;
  readonly tolerationSeconds?: number | undefined;
}

/** Where labs may run, as their pods say it. */
export interface Placement {
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly tolerations: readonly Toleration[];
  /** Of the required node affinity; undefined where there is none. */
  readonly nodeSelectorTerms: DeepReadonly<V1NodeSelectorTerm[]> | undefined;
}

type Requirement = DeepReadonly<V1NodeSelectorRequirement>;

/** The taint that a cordoned node gets, and that a pod has to tolerate to be put there all the same. */
const CORDON: Taint = { key: 'node.kubernetes.io/unschedulable', value: '', effect: 'NoSchedule' };

/**
 * Why no lab runs on the node, as a sentence for people; undefined where labs may run.
 *
 * The rules are those of the scheduler (plugins NodeUnschedulable, NodeAffinity and TaintToleration), except that a node that is
 * not ready or short of disk has no image pulled to it whatever is tolerated.
 */
export function whyNoLabs(node: PullNode, placement: Placement): string | undefined {
  const { nodeSelector, nodeSelectorTerms, tolerations } = placement;
  const isSelected = Object.entries(nodeSelector).every(([key, value]) => node.labels[key] === value);
  if (!isSelected) return 'Node does not have the labels that labs ask for';
  if (nodeSelectorTerms !== undefined && !nodeSelectorTerms.some((term) => matchesTerm(node, term))) {
    return 'Node does not match the node affinity of labs';
  }
  if (!node.isReady) return 'Node is not ready';
  if (node.hasDiskPressure) return 'Node is short of disk space';
  const isTolerated = (taint: Taint) => tolerations.some((toleration) => tolerates(toleration, taint));
  if (node.isUnschedulable && !isTolerated(CORDON)) return 'Node is unschedulable';
  const taint = node.taints.find((each) => repels(each) && !isTolerated(each));
  if (taint === undefined) return undefined;
  const { effect, key, value } = taint;
  return `Node is tainted (${effect}, ${value === '' ? key : `${key} = ${value}`})`;
}

function repels({ effect }: Taint): boolean {
  return effect === 'NoSchedule' || effect === 'NoExecute';
}

/** As `ToleratesTaint` of Kubernetes; a toleration that ends after a while is none here, since labs would not stay. */
function tolerates(toleration: Toleration, taint: Taint): boolean {
  const { key = '', operator = 'Equal', value = '', effect = '', tolerationSeconds } = toleration;
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  if (taint.effect === 'NoExecute' && tolerationSeconds !== undefined) return false;
  return operator === 'Exists' || ((operator === 'Equal' || operator === '') && value === taint.value);
}

/** As `nodeaffinity` of k8s.io/component-helpers: all requirements of a term have to hold, and an empty term matches nothing. */
function matchesTerm(
  node: PullNode,
  { matchExpressions = [], matchFields = [] }: DeepReadonly<V1NodeSelectorTerm>,
): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  return (
    matchExpressions.every((each) => matchesRequirement(each, node.labels)) &&
    matchFields.every((each) => matchesRequirement(each, { 'metadata.name': node.name }))
  );
}

const INTEGER = /^[+-]?\d+$/;

function matchesRequirement(
  { key, operator, values = [] }: Requirement,
  labels: Readonly<Record<string, string>>,
): boolean {
  const found = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return found !== undefined && values.includes(found);
    case 'NotIn':
      return found === undefined || !values.includes(found);
    case 'Exists':
      return found !== undefined;
    case 'DoesNotExist':
      return found === undefined;
    case 'Gt':
    case 'Lt': {
      const [bound = ''] = values;
      if (found === undefined || !INTEGER.test(found) || !INTEGER.test(bound)) return false;
      return operator === 'Gt'
        ? BigInt(plain(found)) > BigInt(plain(bound))
        : BigInt(plain(found)) < BigInt(plain(bound));
    }
    default:
      return false;
  }
}

function plain(integer: string): string {
  return integer.replace(/^\+/, '');
}
