import type {
  V1LabelSelector,
  V1LabelSelectorRequirement,
  V1NodeSelector,
  V1NodeSelectorRequirement,
  V1NodeSelectorTerm,
  V1PodAffinityTerm,
  V1Toleration,
  V1TopologySpreadConstraint,
} from '@kubernetes/client-node';
import { EXPECTED, isDnsLabel, isLabelValue, isQualifiedName } from '../names.ts';
import { oneOf, type ReportFault, type Rule, ruleFor } from './rule.ts';

const LABEL_OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];
const NODE_OPERATORS = [...LABEL_OPERATORS, 'Gt', 'Lt'];

/** Where pods run: as in ValidateTolerations and the validation of affinities in pkg/apis/core/validation of Kubernetes. */
export const SCHEDULING: Readonly<Record<string, Rule>> = {
  Toleration: ruleFor<V1Toleration>(checkToleration),
  NodeSelector: ruleFor<V1NodeSelector>(({ nodeSelectorTerms }, report) => {
    if (nodeSelectorTerms.length === 0) report(['nodeSelectorTerms'], 'expected at least one entry');
    nodeSelectorTerms.forEach(({ matchExpressions }, term) => {
      checkValues(matchExpressions, report, ['nodeSelectorTerms', term, 'matchExpressions']);
    });
  }),
  NodeSelectorTerm: ruleFor<V1NodeSelectorTerm>(({ matchExpressions, matchFields }, report) => {
    matchExpressions?.forEach((requirement, index) => {
      const at = inside(report, 'matchExpressions', index);
      checkOperator(requirement, NODE_OPERATORS, at);
      checkKey(requirement.key, at, 'key');
    });
    matchFields?.forEach((requirement, index) => {
      checkNodeField(requirement, inside(report, 'matchFields', index));
    });
  }),
  PreferredSchedulingTerm: ruleFor<{ weight: number }>(checkWeight),
  WeightedPodAffinityTerm: ruleFor<{ weight: number }>(checkWeight),
  PodAffinityTerm: ruleFor<V1PodAffinityTerm>(checkPodAffinityTerm),
  LabelSelector: ruleFor<V1LabelSelector>(({ matchLabels = {} }, report) => {
    for (const [key, value] of Object.entries(matchLabels)) {
      checkKey(key, report, 'matchLabels', key);
      if (!isLabelValue(value)) report(['matchLabels', key], EXPECTED.labelValue);
    }
  }),
  LabelSelectorRequirement: ruleFor<V1LabelSelectorRequirement>((requirement, report) => {
    checkOperator(requirement, LABEL_OPERATORS, report);
    checkKey(requirement.key, report, 'key');
    checkValues([requirement], (path, message) => {
      report(path.slice(1), message);
    });
  }),
  TopologySpreadConstraint: ruleFor<V1TopologySpreadConstraint>(checkSpread),
};

function checkToleration(toleration: V1Toleration, report: ReportFault): void {
  const { key = '', operator = '', value = '', effect = '', tolerationSeconds } = toleration;
  if (key !== '') checkKey(key, report, 'key');
  else if (operator !== 'Exists')
    report(['operator'], 'expected Exists where there is no key: it stands for every taint');
  if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
    report(['effect'], 'expected NoExecute where tolerationSeconds is set');
  }
  oneOf(operator, ['Exists', 'Equal', ''], reportAs(report, 'expected Exists or Equal'), 'operator');
  if (operator === 'Exists' && value !== '') report(['value'], 'expected no value where the operator is Exists');
  if (operator !== 'Exists' && !isLabelValue(value)) report(['value'], EXPECTED.labelValue);
  const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
  oneOf(effect, [...effects, ''], reportAs(report, `expected ${effects.join(' or ')}`), 'effect');
}

function checkPodAffinityTerm(term: V1PodAffinityTerm, report: ReportFault): void {
  const { topologyKey, namespaces = [], labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  checkKey(topologyKey, report, 'topologyKey');
  namespaces.forEach((name, index) => {
    if (!isDnsLabel(name)) report(['namespaces', index], EXPECTED.dnsLabel);
  });
  checkLabelKeys(matchLabelKeys, labelSelector, report, 'matchLabelKeys');
  checkLabelKeys(mismatchLabelKeys, labelSelector, report, 'mismatchLabelKeys');
  matchLabelKeys.forEach((key, index) => {
    if (mismatchLabelKeys.includes(key))
      report(['matchLabelKeys', index], 'expected a key that is not in mismatchLabelKeys');
  });
}

function checkSpread(constraint: V1TopologySpreadConstraint, report: ReportFault): void {
  const { maxSkew, topologyKey, whenUnsatisfiable, minDomains, labelSelector, matchLabelKeys = [] } = constraint;
  if (maxSkew < 1) report(['maxSkew'], 'expected at least 1');
  if (topologyKey === '') report(['topologyKey'], EXPECTED.qualifiedName);
  oneOf(whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway'], report, 'whenUnsatisfiable');
  if (minDomains !== undefined && minDomains < 1) report(['minDomains'], 'expected at least 1');
  if (minDomains !== undefined && whenUnsatisfiable !== 'DoNotSchedule') {
    report(['minDomains'], 'expected it only where whenUnsatisfiable is DoNotSchedule');
  }
  for (const field of ['nodeAffinityPolicy', 'nodeTaintsPolicy'] as const) {
    oneOf(constraint[field], ['Honor', 'Ignore'], report, field);
  }
  checkLabelKeys(matchLabelKeys, labelSelector, report, 'matchLabelKeys');
}

/** `matchLabelKeys` add to a selector, and not what it has already. */
function checkLabelKeys(
  keys: readonly string[],
  selector: V1LabelSelector | undefined,
  report: ReportFault,
  field: string,
): void {
  if (keys.length > 0 && selector === undefined) report([field], 'expected a labelSelector beside it');
  const taken = new Set(field === 'matchLabelKeys' ? selectorKeys(selector) : []);
  keys.forEach((key, index) => {
    checkKey(key, report, field, index);
    if (taken.has(key)) report([field, index], 'expected a key that is not in labelSelector');
  });
}

function selectorKeys({ matchLabels = {}, matchExpressions = [] }: V1LabelSelector = {}): string[] {
  return [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
}

function checkOperator(
  { operator, values = [] }: V1NodeSelectorRequirement | V1LabelSelectorRequirement,
  operators: readonly string[],
  report: ReportFault,
): void {
  oneOf(operator, operators, report, 'operator');
  if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
    report(['values'], `expected at least one entry where the operator is ${operator}`);
  }
  if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
    report(['values'], `expected no values where the operator is ${operator}`);
  }
  if ((operator === 'Gt' || operator === 'Lt') && values.length !== 1) {
    report(['values'], `expected exactly one value where the operator is ${operator}`);
  }
}

function checkNodeField({ key, operator, values = [] }: V1NodeSelectorRequirement, report: ReportFault): void {
  oneOf(operator, ['In', 'NotIn'], report, 'operator');
  if (key !== 'metadata.name') report(['key'], 'expected metadata.name, the only field of nodes to choose by');
  if (values.length !== 1) report(['values'], 'expected exactly one value');
}

function checkValues(
  requirements: readonly { values?: string[] }[] | undefined,
  report: ReportFault,
  path: readonly (string | number)[] = [],
): void {
  requirements?.forEach(({ values = [] }, index) => {
    values.forEach((value, at) => {
      if (!isLabelValue(value)) report([...path, index, 'values', at], EXPECTED.labelValue);
    });
  });
}

function checkWeight({ weight }: { weight: number }, report: ReportFault): void {
  if (weight < 1 || weight > 100) report(['weight'], 'expected a number from 1 to 100');
}

function checkKey(key: string, report: ReportFault, ...path: readonly (string | number)[]): void {
  if (!isQualifiedName(key)) report(path, EXPECTED.qualifiedName);
}

function inside(report: ReportFault, field: string, index: number): ReportFault {
  return (path, message) => {
    report([field, index, ...path], message);
  };
}

function reportAs(report: ReportFault, message: string): ReportFault {
  return (path) => {
    report(path, message);
  };
}
