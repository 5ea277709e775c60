import fc from 'fast-check';
import type { KubernetesType } from '../../../src/domain/kubernetes/check.ts';

/** Wrong values that people write, one wrong thing each. */
export const WRONG: [type: KubernetesType, value: unknown][] = [
  ['Toleration', { key: 'gpu', effect: 'NoSchedule', tolerationSeconds: 60 }],
  ['Toleration', { key: 'gpu', operator: 'Exists', value: 'yes' }],
  ['Toleration', { effect: 'NoSchedule' }],
  ['Toleration', { key: 'gpu', value: 'not a label value' }],
  ['Toleration', { key: 'gpu', operator: 'exists' }],
  ['Toleration', { key: 'gpu', effect: 'NoExcute' }],
  ['Toleration', { key: 'example..com/gpu', operator: 'Exists' }],
  ['Toleration', { key: 'gpu', operator: 'Exists', tolerationSeconds: '60', effect: 'NoExecute' }],
  ['Affinity', affinity([{ key: 'zone', operator: 'In' }])],
  ['Affinity', affinity([{ key: 'zone', operator: 'Exists', values: ['a'] }])],
  ['Affinity', affinity([{ key: 'cores', operator: 'Gt', values: ['1', '2'] }])],
  ['Affinity', affinity([{ key: 'zone', operator: 'Equals', values: ['a'] }])],
  ['Affinity', affinity([{ key: 'zone', operator: 'In', values: ['not a label value'] }])],
  ['Affinity', { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } }],
  ['Affinity', { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: '' }] } }],
  [
    'Affinity',
    {
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', matchLabelKeys: ['a'] }] },
    },
  ],
  ['TopologySpreadConstraint', { maxSkew: 0, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
  ['TopologySpreadConstraint', { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'Never' }],
  ['TopologySpreadConstraint', { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway', minDomains: 2 }],
  ['NetworkPolicyPeer', { ipBlock: { cidr: '10.0.0.0/33' } }],
  ['NetworkPolicyPeer', { ipBlock: { cidr: '10.0.0.0/8', except: ['192.168.0.0/16'] } }],
  ['NetworkPolicyPeer', { ipBlock: { cidr: '10.0.0.0/8' }, podSelector: {} }],
  ['NetworkPolicyPeer', { podSelector: { matchExpressions: [{ key: 'app', operator: 'In' }] } }],
  ['NetworkPolicyPort', { port: 'a-name-that-is-too-long' }],
  ['NetworkPolicyPort', { port: 0 }],
  ['NetworkPolicyPort', { port: 9000, endPort: 8000 }],
  ['NetworkPolicyPort', { endPort: 8000 }],
  ['Volume', { name: 'Home' }],
  ['Volume', { name: 'home', nfs: { server: 'nfs.example', path: 'export' } }],
  ['Volume', { name: 'home', emptyDir: { sizeLimit: '10GB' } }],
  ['Volume', { name: 'home', emptyDir: {}, nfs: { server: 'nfs.example', path: '/' } }],
  ['Volume', { name: 'home', secret: { secretName: 'a', defaultMode: 4777 } }],
  ['Container', container({ resources: { requests: { cpu: 2 }, limits: { cpu: 1 } } })],
  ['Container', container({ resources: { limits: { gpu: 1 } } })],
  ['Container', container({ resources: { limits: { 'nvidia.com/gpu': '500m' } } })],
  ['Container', container({ resources: { limits: { memory: '4GB' } } })],
  ['Container', container({ ports: [{ containerPort: 70_000 }] })],
  ['Container', container({ ports: [{ containerPort: 80, name: 'HTTP' }] })],
  ['Container', container({ securityContext: { runAsUser: -1 } })],
  ['Container', container({ securityContext: { privileged: true, allowPrivilegeEscalation: false } })],
  ['Container', container({ securityContext: { seccompProfile: { type: 'Default' } } })],
  ['Container', container({ livenessProbe: {} })],
  ['Container', container({ imagePullPolicy: 'always' })],
  [
    'Container',
    container({ env: [{ name: 'A', value: '1', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }] }),
  ],
  ['PodSecurityContext', { fsGroupChangePolicy: 'Never' }],
  ['PodSecurityContext', { supplementalGroups: [-5] }],
];

function affinity(matchExpressions: object[]): object {
  return {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } },
  };
}

function container(changes: object): object {
  return { name: 'database', image: 'registry.example/postgres:17', ...changes };
}

/** An object with its required fields and at most two others: with more of them hardly one would be right as a whole. */
function some(
  required: Readonly<Record<string, fc.Arbitrary<unknown>>>,
  optional: Readonly<Record<string, fc.Arbitrary<unknown>>>,
): fc.Arbitrary<object> {
  return fc
    .subarray(Object.entries(optional), { maxLength: Math.min(2, Object.keys(optional).length) })
    .chain((chosen) => fc.record({ ...required, ...Object.fromEntries(chosen) }));
}

const text = (...values: string[]) => fc.constantFrom(...values);
const key = text('gpu', 'example.com/gpu', 'a b', '', 'A/b', 'a..b/c', `${'x'.repeat(64)}`, '/gpu', 'a/b/c', 'x_y.z');
const value = text('', 'yes', 'Not-a_value.', 'with space', 'x'.repeat(63), 'x'.repeat(64), '-a');
const few = <T>(entry: fc.Arbitrary<T>) => fc.array(entry, { maxLength: 2 });
const whole = fc.constantFrom(-1, 0, 1, 100, 101, 65_535, 65_536, 2 ** 31);
const labels = fc.dictionary(key, value, { maxKeys: 2 });
const selector = some(
  {},
  {
    matchLabels: labels,
    matchExpressions: few(
      some({ key, operator: text('In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt') }, { values: few(value) }),
    ),
  },
);
const nodeRequirement = some(
  { key, operator: text('In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt', 'Is') },
  { values: few(value) },
);
const nodeField = some(
  { key: text('metadata.name', 'spec.x'), operator: text('In', 'Exists') },
  { values: few(text('a', 'b')) },
);
const nodeTerm = some(
  {},
  { matchExpressions: few(nodeRequirement), matchFields: fc.array(nodeField, { maxLength: 1 }) },
);
const podTerm = some(
  { topologyKey: key },
  {
    labelSelector: selector,
    namespaceSelector: selector,
    namespaces: few(text('labs', 'Labs', 'a.b')),
    matchLabelKeys: few(text('a', 'b', 'a b', 'gpu')),
    mismatchLabelKeys: few(text('a', 'c')),
  },
);
const podAffinity = some(
  {},
  {
    requiredDuringSchedulingIgnoredDuringExecution: fc.array(podTerm, { maxLength: 1 }),
    preferredDuringSchedulingIgnoredDuringExecution: fc.array(some({ weight: whole, podAffinityTerm: podTerm }, {}), {
      maxLength: 1,
    }),
  },
);
const cidr = text(
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.0.0.0/33',
  '0.0.0.0/0',
  'fd00::/8',
  '::/0',
  '10.0.0.0',
  'x/8',
  '10.1.2.3/32',
);
const quantity = fc.constantFrom<unknown>(1, '1', '500m', '2Gi', '1.5', '1e3', '2G', '2GB', '-1', '', 'x', 0.1);
const amounts = fc.dictionary(
  text(
    'cpu',
    'memory',
    'nvidia.com/gpu',
    'gpu',
    'ephemeral-storage',
    'requests.nvidia.com/gpu',
    'kubernetes.io/x',
    'a b/c',
  ),
  quantity,
  { maxKeys: 2 },
);
const handler = {
  exec: fc.constant({ command: ['true'] }),
  httpGet: some(
    { port: fc.constantFrom<unknown>('http', 80, 0, 'HTTP', 70_000) },
    { path: text('/', '/x'), scheme: text('HTTP', 'ftp') },
  ),
  tcpSocket: some({ port: fc.constantFrom<unknown>(80, 'http', -1) }, {}),
};
const probe = some({}, { ...handler, periodSeconds: whole, failureThreshold: whole });
const mount = some(
  { name: text('cache'), mountPath: text('/a', '/b', 'a', '/a:b', '') },
  { subPath: text('x', '../x', '/x', 'a/../b', 'a..b'), readOnly: fc.boolean() },
);

/** Pieces of Kubernetes, right and wrong, by their type. */
export const PIECES: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  Toleration: some(
    {},
    {
      key,
      value,
      operator: text('Exists', 'Equal', '', 'exists'),
      effect: text('NoSchedule', 'PreferNoSchedule', 'NoExecute', '', 'Evict'),
      tolerationSeconds: fc.constantFrom<unknown>(0, -1, 60, '60', 1.5),
      effekt: fc.constant('NoSchedule'),
    },
  ),
  Affinity: some(
    {},
    {
      nodeAffinity: some(
        {},
        {
          requiredDuringSchedulingIgnoredDuringExecution: some({ nodeSelectorTerms: few(nodeTerm) }, {}),
          preferredDuringSchedulingIgnoredDuringExecution: fc.array(some({ weight: whole, preference: nodeTerm }, {}), {
            maxLength: 1,
          }),
        },
      ),
      podAffinity,
      podAntiAffinity: podAffinity,
    },
  ),
  TopologySpreadConstraint: some(
    {
      maxSkew: whole,
      topologyKey: text('zone', 'a b', ''),
      whenUnsatisfiable: text('DoNotSchedule', 'ScheduleAnyway', 'Never'),
    },
    {
      minDomains: whole,
      labelSelector: selector,
      matchLabelKeys: few(text('a', 'gpu', 'a b')),
      nodeAffinityPolicy: text('Honor', 'Ignore', 'honor'),
    },
  ),
  NetworkPolicyPeer: some(
    {},
    { podSelector: selector, namespaceSelector: selector, ipBlock: some({ cidr }, { except: few(cidr) }) },
  ),
  NetworkPolicyPort: some(
    {},
    {
      protocol: text('TCP', 'UDP', 'SCTP', 'tcp'),
      port: fc.constantFrom<unknown>(
        80,
        0,
        65_535,
        65_536,
        'http',
        'a-name-that-is-too-long',
        'Http',
        '80',
        'a--b',
        '',
        8.5,
      ),
      endPort: whole,
    },
  ),
  Volume: some(
    { name: text('home', 'Home', 'a.b', '') },
    {
      emptyDir: some({}, { medium: text('Memory', ''), sizeLimit: quantity }),
      hostPath: some({ path: text('/x', '/a/../b', '', 'x') }, { type: text('Directory', 'dir', '') }),
      nfs: some({ server: text('nfs', ''), path: text('/', 'x', '') }, {}),
      secret: some({}, { secretName: text('s', 'S'), defaultMode: fc.constantFrom(0, 420, 511, 512, -1) }),
      configMap: some({}, { name: text('c', ''), defaultMode: fc.constantFrom(420, 4777) }),
      persistentVolumeClaim: some({ claimName: text('c', '') }, {}),
    },
  ),
  Container: some(
    { name: text('database', 'Database', 'a.b') },
    {
      image: text('example.org/x:1', '', ' x', 'x y'),
      imagePullPolicy: text('Always', 'IfNotPresent', 'Never', 'always'),
      ports: few(
        some({ containerPort: whole }, { name: text('http', 'HTTP', 'x'.repeat(16)), protocol: text('TCP', 'tcp') }),
      ),
      env: few(some({ name: text('A', 'a-b', '', 'a=b', '1a') }, { value: text('', 'x') })),
      resources: some({}, { limits: amounts, requests: amounts }),
      securityContext: some(
        {},
        {
          privileged: fc.boolean(),
          allowPrivilegeEscalation: fc.boolean(),
          runAsUser: whole,
          runAsGroup: whole,
          capabilities: fc.constantFrom({ add: ['CAP_SYS_ADMIN'] }, { drop: ['ALL'] }, { drop: 'ALL' }),
          seccompProfile: some(
            { type: text('RuntimeDefault', 'Localhost', 'x') },
            { localhostProfile: text('a.json', '/a') },
          ),
          procMount: text('Default', 'x'),
        },
      ),
      livenessProbe: probe,
      startupProbe: probe,
      lifecycle: some(
        {},
        { preStop: some({}, { ...handler, sleep: some({ seconds: fc.constantFrom(1, 0, -1, 3600) }, {}) }) },
      ),
      volumeMounts: few(mount),
      terminationMessagePolicy: text('File', 'x'),
    },
  ),
  PodSecurityContext: some(
    {},
    {
      runAsUser: whole,
      fsGroup: whole,
      supplementalGroups: few(whole),
      fsGroupChangePolicy: text('Always', 'OnRootMismatch', 'Never'),
      runAsNonRoot: fc.boolean(),
      sysctls: few(some({ name: text('net.core.somaxconn', 'a b', ''), value: text('1') }, {})),
    },
  ),
};
