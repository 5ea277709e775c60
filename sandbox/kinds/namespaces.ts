import { cause } from '../status.ts';
import { withMetadata } from '../objects.ts';
import { coreType } from './common.ts';

const LEVELS = ['privileged', 'baseline', 'restricted'];
const MODES = ['enforce', 'audit', 'warn'];

export const namespaces = coreType(
  { plural: 'namespaces', singular: 'namespace', kind: 'Namespace' },
  {
    namespaced: false,
    hasStatus: true,
    returnsDeleted: true,
    names: 'label',
    fields: ['status.phase'],
    defaults: (object) =>
      object.metadata.name === ''
        ? object
        : withMetadata(object, {
            labels: { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name },
          }),
    initial: (object) => ({ ...object, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } }),
    validate: ({ metadata: { labels = {} } }) =>
      MODES.map((mode) => `pod-security.kubernetes.io/${mode}`)
        .filter((label) => label in labels && !LEVELS.includes(labels[label] ?? ''))
        .map((label) =>
          cause.invalid(`metadata.labels[${label}]`, labels[label], `must be one of ${LEVELS.join(', ')}`),
        ),
  },
);
