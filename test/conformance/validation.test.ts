import { describe, expect, it } from 'vitest';
import { aPod, useApi } from './api.ts';

const api = useApi();

const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const KEY =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LONG = 'a'.repeat(65);
const CORE = (plural: string) => (namespace: string) => `/api/v1/namespaces/${namespace}/${plural}`;

const pod = (spec: object) => aPod('a', spec);
const c = (more: object = {}, name = 'c') => ({ name, image: 'x:1', ...more });

/** What is made where, and the causes with which it is refused. */
const INVALID: [
  title: string,
  plural: string,
  object: object,
  causes: [reason: string, message: string, field: string][],
][] = [
  [
    // One label each: the server looks at a table in no order.
    'a name and the key of a label with wrong characters',
    'configmaps',
    { metadata: { name: 'A_1', labels: { 'a b': '1' } } },
    [
      ['FieldValueInvalid', `Invalid value: "A_1": ${SUBDOMAIN}`, 'metadata.name'],
      ['FieldValueInvalid', `Invalid value: "a b": ${KEY}`, 'metadata.labels'],
    ],
  ],
  [
    'the value of a label with wrong characters',
    'configmaps',
    { metadata: { name: 'a', labels: { c: 'x y' } } },
    [['FieldValueInvalid', `Invalid value: "x y": ${VALUE}`, 'metadata.labels']],
  ],
  [
    'no name',
    'configmaps',
    { metadata: {} },
    [['FieldValueRequired', 'Required value: name or generateName is required', 'metadata.name']],
  ],
  [
    'a name that is too long',
    'configmaps',
    { metadata: { name: 'a'.repeat(254) } },
    [
      [
        'FieldValueInvalid',
        `Invalid value: "${'a'.repeat(254)}": must be no more than 253 characters`,
        'metadata.name',
      ],
    ],
  ],
  [
    'a label value that is too long',
    'configmaps',
    { metadata: { name: 'a', labels: { x: LONG } } },
    [['FieldValueInvalid', `Invalid value: "${LONG}": must be no more than 63 characters`, 'metadata.labels']],
  ],
  [
    'a label key that is too long',
    'configmaps',
    { metadata: { name: 'a', labels: { [LONG]: 'x' } } },
    [
      [
        'FieldValueInvalid',
        `Invalid value: "${LONG}": name part must be no more than 63 characters`,
        'metadata.labels',
      ],
    ],
  ],
  [
    'a label key with a wrong prefix',
    'configmaps',
    { metadata: { name: 'a', labels: { 'A b/x': 'x' } } },
    [['FieldValueInvalid', `Invalid value: "A b/x": prefix part ${SUBDOMAIN}`, 'metadata.labels']],
  ],
  [
    'a wrong annotation key and a wrong data key',
    'configmaps',
    { metadata: { name: 'a', annotations: { 'a b': 'x' } }, data: { 'a/b': 'c' } },
    [
      ['FieldValueInvalid', `Invalid value: "a b": ${KEY}`, 'metadata.annotations'],
      [
        'FieldValueInvalid',
        `Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
        'data[a/b]',
      ],
    ],
  ],
  [
    'a pull secret without its key',
    'secrets',
    { metadata: { name: 'a' }, type: 'kubernetes.io/dockerconfigjson', data: { a: 'Yg==' } },
    [['FieldValueRequired', 'Required value', 'data[.dockerconfigjson]']],
  ],
  [
    'a pod without containers',
    'pods',
    pod({ containers: [] }),
    [['FieldValueRequired', 'Required value', 'spec.containers']],
  ],
  [
    'a pod with a volume twice, a wrong container name, port, environment, image and restart policy',
    'pods',
    pod({
      restartPolicy: 'Sometimes',
      volumes: [{ name: 'v' }, { name: 'v', emptyDir: {} }],
      containers: [
        { name: 'C_', image: ' i', ports: [{ containerPort: 0 }], env: [{ name: '' }, { name: 'a=b', value: 'x' }] },
      ],
    }),
    [
      ['FieldValueDuplicate', 'Duplicate value: "v"', 'spec.volumes[1].name'],
      ['FieldValueInvalid', `Invalid value: "C_": ${LABEL}`, 'spec.containers[0].name'],
      ['FieldValueRequired', 'Required value', 'spec.containers[0].ports[0].containerPort'],
      ['FieldValueRequired', 'Required value', 'spec.containers[0].env[0].name'],
      [
        'FieldValueInvalid',
        `Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
        'spec.containers[0].env[1].name',
      ],
      [
        'FieldValueNotSupported',
        'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        'spec.restartPolicy',
      ],
      [
        'FieldValueInvalid',
        'Invalid value: " i": must not have leading or trailing whitespace',
        'spec.containers[0].image',
      ],
    ],
  ],
  [
    'a pod with no image, a mount of no volume, requests above limits and a container twice',
    'pods',
    pod({
      containers: [
        {
          name: 'c',
          resources: { limits: { cpu: '1' }, requests: { cpu: '2' } },
          volumeMounts: [{ name: 'v', mountPath: '/x' }],
        },
        c(),
      ],
    }),
    [
      ['FieldValueRequired', 'Required value', 'spec.containers[0].image'],
      ['FieldValueNotFound', 'Not found: "v"', 'spec.containers[0].volumeMounts[0].name'],
      [
        'FieldValueInvalid',
        'Invalid value: "2": must be less than or equal to cpu limit of 1',
        'spec.containers[0].resources.requests',
      ],
      ['FieldValueDuplicate', 'Duplicate value: "c"', 'spec.containers[1].name'],
    ],
  ],
  [
    'a pod with a mount path twice',
    'pods',
    pod({
      volumes: [{ name: 'v', emptyDir: {} }],
      containers: [
        c({
          volumeMounts: [
            { name: 'v', mountPath: '/x' },
            { name: 'v', mountPath: '/x' },
          ],
        }),
      ],
    }),
    [['FieldValueInvalid', 'Invalid value: "/x": must be unique', 'spec.containers[0].volumeMounts[1].mountPath']],
  ],
  [
    'a pod with a port beyond the range',
    'pods',
    pod({ containers: [c({ ports: [{ containerPort: 70_000 }] })] }),
    [
      [
        'FieldValueInvalid',
        'Invalid value: 70000: must be between 1 and 65535, inclusive',
        'spec.containers[0].ports[0].containerPort',
      ],
    ],
  ],
  [
    'a pod with an extended resource that is requested and not limited',
    'pods',
    pod({ containers: [c({ resources: { requests: { 'example.org/gpu': '1' } } })] }),
    [
      [
        'FieldValueRequired',
        'Required value: Limit must be set for non overcommitable resources',
        'spec.containers[0].resources.limits',
      ],
    ],
  ],
  [
    'a service with a wrong name and nameless ports out of range',
    'services',
    { metadata: { name: '2s' }, spec: { ports: [{ port: 0 }, { port: 1 }] } },
    [
      [
        'FieldValueInvalid',
        `Invalid value: "2s": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`,
        'metadata.name',
      ],
      ['FieldValueRequired', 'Required value', 'spec.ports[0].name'],
      ['FieldValueInvalid', 'Invalid value: 0: must be between 1 and 65535, inclusive', 'spec.ports[0].port'],
      ['FieldValueInvalid', 'Invalid value: 0: must be between 1 and 65535, inclusive', 'spec.ports[0].targetPort'],
      ['FieldValueRequired', 'Required value', 'spec.ports[1].name'],
    ],
  ],
  [
    'a service without ports',
    'services',
    { metadata: { name: 'a' }, spec: {} },
    [['FieldValueRequired', 'Required value', 'spec.ports']],
  ],
  [
    'a service with an address of another range',
    'services',
    { metadata: { name: 'a' }, spec: { clusterIP: '1.2.3.4', ports: [{ port: 1 }] } },
    [
      [
        'FieldValueInvalid',
        'Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided network does not match the current range',
        'spec.clusterIPs',
      ],
    ],
  ],
  [
    'a claim without access modes and size',
    'persistentvolumeclaims',
    { metadata: { name: 'a' }, spec: {} },
    [
      ['FieldValueRequired', 'Required value: at least 1 access mode is required', 'spec.accessModes'],
      ['FieldValueRequired', 'Required value', 'spec.resources[storage]'],
    ],
  ],
  [
    'a quota with an unknown resource',
    'resourcequotas',
    { metadata: { name: 'a' }, spec: { hard: { 'limits.foo': '2' } } },
    [
      [
        'FieldValueInvalid',
        'Invalid value: "limits.foo": must be a standard resource type or fully qualified',
        'spec.hard[limits.foo]',
      ],
      [
        'FieldValueInvalid',
        'Invalid value: "limits.foo": must be a standard resource for quota',
        'spec.hard[limits.foo]',
      ],
    ],
  ],
  [
    'a quota with a negative amount',
    'resourcequotas',
    { metadata: { name: 'a' }, spec: { hard: { pods: '-1' } } },
    [['FieldValueInvalid', 'Invalid value: "-1": must be greater than or equal to 0', 'spec.hard[pods]']],
  ],
  [
    'a limit range whose default request is above its default limit',
    'limitranges',
    {
      metadata: { name: 'a' },
      spec: { limits: [{ type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '1' } }] },
    },
    [
      [
        'FieldValueInvalid',
        'Invalid value: "1": default request value 1 is greater than default limit value 500m',
        'spec.limits[0].defaultRequest[cpu]',
      ],
    ],
  ],
  [
    'an event about something in another namespace',
    'events',
    { metadata: { name: 'a' }, involvedObject: { kind: 'Pod', name: 'lab' }, reason: 'R' },
    [['FieldValueInvalid', 'Invalid value: "": does not match event.namespace', 'involvedObject.namespace']],
  ],
];

describe('a new object is refused with every cause', () => {
  it.each(INVALID)('%s', async (_title, plural, object, causes) => {
    const { name } = await api.namespace();
    const { status, body } = await api.post(CORE(plural)(name), object);
    expect(status, JSON.stringify(body)).toBe(422);
    expect(body.reason).toBe('Invalid');
    expect(body.details.causes).toEqual(causes.map(([reason, message, field]) => ({ reason, message, field })));
    const texts = causes.map(([, message, field]) => `${field}: ${message}`);
    const text = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
    const named = (object as { metadata: { name?: string } }).metadata.name ?? '';
    expect(body.message).toBe(`${body.details.kind} "${named}" is invalid: ${text}`);
  });

  it.each([
    ['a.b', 'must not contain dots'],
    ['A', LABEL],
  ])('a namespace of the name %s', async (name, why) => {
    const { status, body } = await api.post('/api/v1/namespaces', { metadata: { name } });
    expect(status).toBe(422);
    expect(body.details.causes).toEqual([
      { reason: 'FieldValueInvalid', message: `Invalid value: "${name}": ${why}`, field: 'metadata.name' },
    ]);
  });

  it('a network policy with a wrong block of addresses', async () => {
    const { name } = await api.namespace();
    const spec = { podSelector: {}, egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/99' } }] }] };
    const path = `/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`;
    const { status, body } = await api.post(path, { metadata: { name: 'a' }, spec });
    expect(status).toBe(422);
    expect(body.message).toBe(
      'NetworkPolicy.networking.k8s.io "a" is invalid: spec.egress[0].to[0].ipBlock.cidr: Invalid value: "0.0.0.0/99": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    );
  });
});

describe('an object that cannot be read is refused with 400', () => {
  it.each([
    [
      'pods',
      pod({ containers: [c({ resources: { limits: { cpu: 'abc' } } })] }),
      'quantities must match the regular expression',
    ],
    ['pods', pod({ containers: 'none' }), 'json: cannot unmarshal string into Go struct field'],
    ['pods', pod({ containers: [c({ env: {} })] }), 'json: cannot unmarshal object into Go struct field'],
    ['secrets', { metadata: { name: 'a' }, data: { a: 'c!' } }, 'illegal base64 data at input byte 1'],
    ['configmaps', { metadata: { name: 'a' }, data: { a: 1 } }, 'json: cannot unmarshal number into Go struct field'],
    ['configmaps', { metadata: { name: 'a', annotations: [] } }, 'json: cannot unmarshal array into Go struct field'],
  ])('%s', async (plural, object, message) => {
    const { path } = await api.namespace();
    const { status, body } = await api.post(`${path}/${plural}`, object);
    expect(status, JSON.stringify(body)).toBe(400);
    expect(body.reason).toBe('BadRequest');
    expect(body.message).toContain(message);
  });
});

describe('what cannot be changed', () => {
  it('the type of a secret, and what is immutable', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' }, stringData: { k: 'v' }, immutable: true });
    const changed = { metadata: { name: 'a' }, stringData: { k: 'w' }, immutable: true, type: 'x' };
    expect((await api.put(`${path}/secrets/a`, changed)).body.message).toBe(
      'Secret "a" is invalid: [type: Invalid value: "x": field is immutable, data: Forbidden: field is immutable when `immutable` is set]',
    );
    await api.post(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' }, immutable: true });
    const { status, body } = await api.merge(`${path}/configmaps/a`, { immutable: false, data: { k: 'w' } });
    expect(status).toBe(422);
    expect(body.message).toBe(
      'ConfigMap "a" is invalid: [immutable: Forbidden: field is immutable when `immutable` is set, data: Forbidden: field is immutable when `immutable` is set]',
    );
    expect(await api.merge(`${path}/configmaps/a`, { metadata: { labels: { x: '1' } } })).toMatchObject({
      status: 200,
    });
  });

  it('the spec of a claim, but for a storage class that was missing', async () => {
    const { path } = await api.namespace();
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    const made = await api.post(`${path}/persistentvolumeclaims`, { metadata: { name: 'a' }, spec });
    expect(made.body).toMatchObject({
      metadata: { finalizers: ['kubernetes.io/pvc-protection'] },
      spec: { ...spec, volumeMode: 'Filesystem' },
      status: { phase: 'Pending' },
    });
    expect(await api.merge(`${path}/persistentvolumeclaims/a`, { spec: { storageClassName: 'x' } })).toMatchObject({
      status: 200,
    });
    const { status, body } = await api.merge(`${path}/persistentvolumeclaims/a`, {
      spec: { accessModes: ['ReadWriteMany'] },
    });
    expect(status).toBe(422);
    expect(body.message).toMatch(
      /^PersistentVolumeClaim "a" is invalid: spec: Forbidden: spec is immutable after creation except resources\.requests/,
    );
  });
});
