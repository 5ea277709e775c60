import { randomUUID } from 'node:crypto';
import { checkLabels } from '../names.ts';
import { type JsonObject, type KubeObject, sameJson, withMetadata, without } from '../objects.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, objectAt, specOf, textAt } from './common.ts';
import { checkPodSpec } from './pod-rules.ts';
import { withTemplateDefaults } from './pods.ts';

/** Labels that tie pods to their Job; the names without a prefix are the older ones. */
export const CONTROLLER_UID = 'batch.kubernetes.io/controller-uid';
const JOB_NAME = 'batch.kubernetes.io/job-name';

export const jobs = {
  ...coreType(
    { plural: 'jobs', singular: 'job', kind: 'Job' },
    {
      hasStatus: true,
      orphansByDefault: true,
      defaults: withDefaults,
      initial: withSelector,
      validate: (object) => [...checkSpec(specOf(object)), ...checkTemplate(object)],
      validateUpdate: checkUpdate,
    },
  ),
  group: 'batch',
};

type Labels = Readonly<Record<string, string>>;

export function templateOf(job: KubeObject): JsonObject {
  return objectAt(specOf(job), 'template');
}

function withDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  const template = objectAt(spec, 'template');
  const completions = spec['parallelism'] === undefined ? { completions: 1 } : {};
  const { labels = objectAt(objectAt(template, 'metadata'), 'labels') } = object.metadata;
  return {
    ...(Object.keys(labels).length === 0 ? object : withMetadata(object, { labels: labels as Labels })),
    spec: {
      ...{ parallelism: 1, ...completions, backoffLimit: 6, manualSelector: false },
      ...{ completionMode: 'NonIndexed', suspend: false, podReplacementPolicy: 'TerminatingOrFailed' },
      ...spec,
      template: {
        ...template,
        metadata: objectAt(template, 'metadata'),
        spec: withTemplateDefaults(objectAt(template, 'spec')),
      },
    },
  };
}

/** A new Job gets its uid early: its selector and the labels of its pods are made of it. */
function withSelector(object: KubeObject): KubeObject {
  const uid = randomUUID();
  const spec = specOf(object);
  const template = objectAt(spec, 'template');
  const metadata = objectAt(template, 'metadata');
  const { name } = object.metadata;
  const own = { [CONTROLLER_UID]: uid, [JOB_NAME]: name, 'controller-uid': uid, 'job-name': name };
  const selector = objectAt(spec, 'selector');
  const labels = { ...own, ...objectAt(metadata, 'labels') };
  // A Job without labels has those of its template, and with them what is added there: in the server they are one map.
  const shared = object.metadata.labels === metadata['labels'] ? { labels } : {};
  return {
    ...withMetadata(object, { uid, generation: 1, ...shared }),
    spec: {
      ...spec,
      selector: { ...selector, matchLabels: { ...objectAt(selector, 'matchLabels'), [CONTROLLER_UID]: uid } },
      template: { ...template, metadata: { ...metadata, labels } },
    },
    status: {},
  };
}

const NUMBERS = ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished'];
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  completionMode: ['NonIndexed', 'Indexed'],
  podReplacementPolicy: ['Failed', 'TerminatingOrFailed'],
};

function checkSpec(spec: JsonObject): Cause[] {
  const numbers = NUMBERS.filter((field) => Number(spec[field] ?? 0) < 0).map((field) =>
    cause.invalid(`spec.${field}`, spec[field], 'must be greater than or equal to 0'),
  );
  const choices = Object.entries(CHOICES)
    .filter(([field, allowed]) => !allowed.includes(textAt(spec, field)))
    .map(([field, allowed]) => cause.unsupported(`spec.${field}`, spec[field], allowed));
  return [...numbers, ...choices];
}

function checkTemplate(object: KubeObject): Cause[] {
  const template = templateOf(object);
  const spec = objectAt(template, 'spec');
  const labels = objectAt(objectAt(template, 'metadata'), 'labels') as Record<string, string>;
  const causes = checkPodSpec(spec).map((found) => ({
    ...found,
    field: found.field.replace(/^spec/, 'spec.template.spec'),
  }));
  if (textAt(spec, 'restartPolicy') === 'Always') {
    causes.push(cause.required('spec.template.spec.restartPolicy', 'valid values: "OnFailure", "Never"'));
  }
  return [...checkSelector(object, labels), ...checkLabels('spec.template.labels', labels), ...causes];
}

function checkSelector(object: KubeObject, labels: Readonly<Record<string, string>>): Cause[] {
  const causes: Cause[] = [];
  const { uid = '', name } = object.metadata;
  const selector = objectAt(specOf(object), 'selector');
  const wanted = objectAt(selector, 'matchLabels');
  if (!sameJson(wanted, { [CONTROLLER_UID]: uid })) {
    causes.push(cause.invalid('spec.selector', selector, '`selector` not auto-generated'));
  }
  for (const label of [JOB_NAME, 'job-name']) {
    if (labels[label] !== name) {
      causes.push(cause.invalid(`spec.template.metadata.labels[${label}]`, labels, `must be '${name}'`));
    }
  }
  if (Object.entries(wanted).some(([label, value]) => labels[label] !== value)) {
    const why = '`selector` does not match template `labels`';
    causes.push(cause.invalid('spec.template.metadata.labels', labels, why));
  }
  return causes;
}

const IMMUTABLE = 'field is immutable';

function checkUpdate(object: KubeObject, old: KubeObject): Cause[] {
  const [now, before] = [specOf(object), specOf(old)];
  const fixed = ['completions', 'selector', 'completionMode'].filter((field) => !sameJson(now[field], before[field]));
  const causes = fixed.map((field) => cause.invalid(`spec.${field}`, now[field], IMMUTABLE));
  // Kueue and the like place a suspended Job that has never run.
  const placeable = before['suspend'] === true && objectAt(old, 'status')['startTime'] === undefined;
  const kept = placeable ? withoutPlacement : (template: JsonObject) => template;
  if (!sameJson(kept(templateOf(object)), kept(templateOf(old)))) {
    causes.push(cause.invalid('spec.template', templateOf(object), IMMUTABLE));
  }
  return causes;
}

function withoutPlacement(template: JsonObject): JsonObject {
  const spec = without(objectAt(template, 'spec'), 'nodeSelector', 'affinity', 'tolerations', 'schedulingGates');
  return { ...without(template, 'metadata'), spec };
}
