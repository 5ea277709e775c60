import type { JsonObject, KubeObject } from '../objects.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, listAt, specOf, textAt } from './common.ts';

const PORT_RANGE = 'must be between 1 and 65535, inclusive';

export const services = coreType(
  { plural: 'services', singular: 'service', kind: 'Service' },
  {
    hasStatus: true,
    returnsDeleted: true,
    names: 'label1035',
    fields: ['spec.clusterIP', 'spec.type'],
    defaults: withDefaults,
    initial: (object) => ({ ...object, status: { loadBalancer: {} } }),
    validate: (object) => checkPorts(specOf(object)),
    validateUpdate: (object, old) => {
      const before = specOf(old)['clusterIP'];
      const after = specOf(object)['clusterIP'];
      return before === undefined || before === after
        ? []
        : [cause.invalid('spec.clusterIPs[0]', [after], 'may not change once set')];
    },
  },
);

function withDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  const ports = listAt(spec, 'ports').map((port) => ({ protocol: 'TCP', targetPort: port['port'], ...port }));
  const headless = spec['clusterIP'] === 'None';
  return {
    ...object,
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      ipFamilies: headless ? ['IPv4', 'IPv6'] : ['IPv4'],
      ipFamilyPolicy: headless ? 'RequireDualStack' : 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      ...spec,
      ...(ports.length === 0 ? {} : { ports }),
      ...(textAt(spec, 'clusterIP') === '' ? {} : { clusterIPs: [spec['clusterIP']] }),
    },
  };
}

function checkPorts(spec: JsonObject): Cause[] {
  const ports = listAt(spec, 'ports');
  if (ports.length === 0 && spec['clusterIP'] !== 'None') return [cause.required('spec.ports')];
  return ports.flatMap((port, index) => {
    const path = `spec.ports[${String(index)}]`;
    const causes: Cause[] = [];
    if (ports.length > 1 && textAt(port, 'name') === '') causes.push(cause.required(`${path}.name`));
    for (const field of ['port', 'targetPort']) {
      const value = port[field];
      if (typeof value === 'number' && (value < 1 || value > 65_535)) {
        causes.push(cause.invalid(`${path}.${field}`, value, PORT_RANGE));
      }
    }
    return causes;
  });
}
