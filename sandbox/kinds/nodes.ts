import { coreType, specOf } from './common.ts';

const NOT_READY = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

export const nodes = coreType(
  { plural: 'nodes', singular: 'node', kind: 'Node' },
  {
    namespaced: false,
    hasStatus: true,
    fields: ['spec.unschedulable'],
    initial: (object) => ({ ...object, spec: { ...specOf(object), taints: [NOT_READY] } }),
  },
);
