import { cause } from '../status.ts';
import { coreType, objectAt, textAt } from './common.ts';

export const events = coreType(
  { plural: 'events', singular: 'event', kind: 'Event' },
  {
    fields: [
      ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
        (field) => `involvedObject.${field}`,
      ),
      'reason',
      'reportingComponent',
      'source',
      'type',
    ],
    defaults: (object) => ({
      firstTimestamp: null,
      lastTimestamp: null,
      eventTime: null,
      reportingComponent: '',
      reportingInstance: '',
      ...object,
    }),
    validate: (object) => {
      const namespace = textAt(objectAt(object, 'involvedObject'), 'namespace');
      // Events about cluster-wide objects live in `default`.
      const expected = namespace === '' ? 'default' : namespace;
      return expected === object.metadata.namespace
        ? []
        : [cause.invalid('involvedObject.namespace', namespace, 'does not match event.namespace')];
    },
  },
);
