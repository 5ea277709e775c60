import type {
  V1Container,
  V1EnvVar,
  V1PersistentVolumeClaim,
  V1Pod,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';

/** The content of a file, however it is kept: data is a file that is written of a table. */
export type Content = { readonly text: string } | { readonly base64: string } | { readonly data: unknown };

/** A pod, and what it takes from elsewhere. */
export interface Observed {
  readonly pod: V1Pod;
  /** Values of variables by the name of the Secret or ConfigMap that they are taken from. */
  readonly env: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Content of files by the name of the ConfigMap or Secret, and key. */
  readonly files: Readonly<Record<string, Readonly<Record<string, Content>>>>;
  /** Who may choose this. */
  readonly groups: string;
  /** What is beside the pod, such as what it may reach, as facts. */
  readonly beside: readonly (readonly [name: string, value: string])[];
  /** The claims that are made for it. */
  readonly claims?: readonly V1PersistentVolumeClaim[];
}

/** What is true of a pod, in words that do not depend on how it is written: value by name. Both are for people to read. */
export type Facts = ReadonlyMap<string, string>;

/** Spec of the pod that is told by names of its own; anything else is a fact as it is. */
const TOLD = new Set([
  ...['affinity', 'automountServiceAccountToken', 'containers', 'initContainers', 'nodeSelector', 'securityContext'],
  ...['serviceAccountName', 'tolerations', 'volumes'],
]);
/** What Kubernetes does where a pod says nothing. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  enableServiceLinks: true,
  restartPolicy: 'Always',
  terminationGracePeriodSeconds: 30,
  schedulerName: 'default-scheduler',
};

export function factsOf(observed: Observed): Facts {
  const { pod, groups, beside: others } = observed;
  const spec = pod.spec ?? { containers: [] };
  const facts: (readonly [string, unknown])[] = [['groups', groups], ...others];
  for (const kind of ['labels', 'annotations'] as const) {
    for (const [key, value] of Object.entries(pod.metadata?.[kind] ?? {})) facts.push([`${kind} ${key}`, value]);
  }
  for (const [key, value] of Object.entries({ ...DEFAULTS, ...spec })) {
    if (!TOLD.has(key)) facts.push([`pod ${key}`, value]);
  }
  facts.push(
    ...Object.entries(spec.nodeSelector ?? {}).map(([key, value]): [string, string] => [`node ${key}`, value]),
    ...(spec.tolerations ?? []).map((each): [string, string] => [
      `toleration ${write({ operator: 'Equal', ...each })}`,
      'tolerated',
    ]),
    ...affinities(spec.affinity),
    ['service account', spec.serviceAccountName ?? 'default'],
    ['token for the API server', spec.automountServiceAccountToken === false ? 'none' : 'mounted'],
  );
  const [lab, ...beside] = spec.containers;
  const before = spec.initContainers ?? [];
  const isSidecar = ({ restartPolicy }: V1Container) => restartPolicy === 'Always';
  if (lab !== undefined) facts.push(...containerFacts(lab, observed));
  const named = (kind: string, container: V1Container) =>
    containerFacts(container, observed).map(([key, value]): [string, unknown] => [
      `${kind} ${container.name}: ${key}`,
      value,
    ]);
  for (const container of [...beside, ...before.filter(isSidecar)]) facts.push(...named('sidecar', container));
  for (const container of before.filter((each) => !isSidecar(each))) facts.push(...named('before', container));
  const orders = [...beside.map(() => 'with the lab'), ...before.filter(isSidecar).map(() => 'before the lab')];
  if (orders.length > 0) facts.push(['sidecars start', [...new Set(orders)].join(', ')]);
  return new Map(facts.flatMap(([key, value]) => (isNothing(value) ? [] : [[key, write(value)] as const])));
}

function containerFacts(container: V1Container, observed: Observed): [string, unknown][] {
  const { resources = {}, ports = [], lifecycle } = container;
  const facts: [string, unknown][] = [
    ['image', container.image],
    ['pull policy', container.imagePullPolicy ?? defaultPolicy(container.image ?? '')],
    ['command', container.command],
    ['args', container.args],
    ['working directory', container.workingDir],
    ['ports', ports.map(({ containerPort }) => containerPort)],
    ['lifecycle', lifecycle],
    ['startup probe', container.startupProbe === undefined ? undefined : 'there is one'],
    ['readiness probe', container.readinessProbe],
    ['liveness probe', container.livenessProbe],
  ];
  for (const [name, value] of resolveEnv(container, observed.env)) facts.push([`env ${name}`, value]);
  const requests = { ...resources.limits, ...resources.requests };
  for (const [kind, amounts] of Object.entries({ limit: resources.limits ?? {}, request: requests })) {
    for (const [name, amount] of Object.entries(amounts)) facts.push([`${kind} ${name}`, numberOf(amount)]);
  }
  for (const mount of container.volumeMounts ?? []) facts.push(...mountFacts(mount, observed));
  return [...facts, ...securityFacts(container, observed.pod)];
}

/** As the kubelet does: a variable may name those before it; what it does not know stays as it is. */
function resolveEnv({ env = [], envFrom = [] }: V1Container, secrets: Observed['env']): Map<string, string> {
  const found = new Map(
    envFrom.flatMap(({ secretRef, configMapRef: ref = secretRef }) =>
      Object.entries(secrets[ref?.name ?? ''] ?? { [write(ref)]: 'unknown' }),
    ),
  );
  for (const variable of env) {
    const value = variable.value ?? '';
    const expanded = value.replaceAll(/\$\$|\$\(([^)]+)\)/g, (written, name?: string) =>
      name === undefined ? '$' : (found.get(name) ?? written),
    );
    found.set(variable.name, isNothing(variable.valueFrom) ? expanded : sourceOf(variable, secrets));
  }
  return found;
}

function sourceOf({ valueFrom = {} }: V1EnvVar, secrets: Observed['env']): string {
  const { secretKeyRef: secret, configMapKeyRef: map, fieldRef: field } = valueFrom;
  const known = secrets[secret?.name ?? map?.name ?? '']?.[secret?.key ?? map?.key ?? ''];
  if (known !== undefined) return known;
  if (secret !== undefined) return `from Secret ${String(secret.name)}, ${secret.key}`;
  if (map !== undefined) return `from ConfigMap ${String(map.name)}, ${map.key}`;
  return `from ${field === undefined ? write(valueFrom) : field.fieldPath}`;
}

/** Files whose content is known, or a mount: what it leads to. */
function mountFacts(mount: V1VolumeMount, observed: Observed): [string, unknown][] {
  const { name, mountPath, subPath, readOnly, mountPropagation: propagation = 'None' } = mount;
  const volume = observed.pod.spec?.volumes?.find((each) => each.name === name);
  const path = mountPath.replace(/(?<=.)\/$/, '');
  const files = volume && filesOf(volume, observed.files);
  if (files !== undefined && subPath === undefined) {
    return files.map((file) => fileFact(`${path}/${file.path}`, file));
  }
  const file = files?.find((each) => each.path === subPath);
  if (file !== undefined) return [fileFact(path, file)];
  const options = [
    volume === undefined ? 'no volume' : leadsTo(volume, observed.claims ?? []),
    ...(subPath === undefined ? [] : [`below ${subPath}`]),
    readOnly === true ? 'read-only' : 'writable',
    ...(propagation === 'None' ? [] : [propagation]),
  ];
  return [[`mount ${path}`, options.join(', ')]];
}

interface File {
  readonly path: string;
  readonly mode: number;
  readonly content: Content;
}

function fileFact(path: string, { mode, content }: File): [string, string] {
  return [`file ${path}`, `mode ${mode.toString(8)}: ${readContent(content, path)}`];
}

/** The files of a volume, where it is known what is in it. */
function filesOf({ configMap, secret, downwardAPI }: V1Volume, files: Observed['files']): File[] | undefined {
  const { defaultMode: mode = 0o644 } = configMap ?? secret ?? downwardAPI ?? {};
  if (downwardAPI !== undefined) {
    return (downwardAPI.items ?? []).map((item) => ({
      path: item.path,
      mode,
      content: { data: { ...item, path: undefined } },
    }));
  }
  const kept = files[configMap?.name ?? secret?.secretName ?? ''];
  if (kept === undefined) return undefined;
  const { items = Object.keys(kept).map((key) => ({ key, path: key })) } = configMap ?? secret ?? {};
  return items.flatMap(({ key, path, mode: own = mode }: { key: string; path: string; mode?: number }) => {
    const content = kept[key];
    return content === undefined ? [] : [{ path, mode: own, content }];
  });
}

function readContent(content: Content, path: string): string {
  if ('data' in content) return write(content.data);
  if ('base64' in content) return content.base64;
  if (!path.endsWith('.json')) return content.text;
  try {
    return write(JSON.parse(content.text));
  } catch {
    return content.text;
  }
}

function leadsTo(volume: V1Volume, claims: readonly V1PersistentVolumeClaim[]): string {
  const { nfs, persistentVolumeClaim: claim, emptyDir } = volume;
  const made = claims.find(({ metadata }) => metadata?.name === claim?.claimName);
  if (claim !== undefined) {
    const what = made === undefined ? claim.claimName : `of its own, ${write(made.spec)}`;
    return `claim ${what}${claim.readOnly === true ? ' (read-only)' : ''}`;
  }
  if (nfs !== undefined) return `NFS ${nfs.server}:${nfs.path}${nfs.readOnly === true ? ' (read-only)' : ''}`;
  if (emptyDir !== undefined) {
    const { medium, sizeLimit } = emptyDir;
    return `an empty directory${medium ? ` in ${medium}` : ''}${isNothing(sizeLimit) ? '' : ` of ${numberOf(sizeLimit)}`}`;
  }
  return write({ ...volume, name: undefined });
}

/** What holds for the container, whichever of pod and container says it. */
function securityFacts({ securityContext: own = {} }: V1Container, { spec }: V1Pod): [string, unknown][] {
  const { securityContext: pod = {} } = spec ?? {};
  const held = { ...pod, ...own };
  const groups = [...(pod.supplementalGroups ?? []), ...(pod.fsGroup === undefined ? [] : [pod.fsGroup])];
  const gains = own.privileged === true || own.allowPrivilegeEscalation !== false;
  return [
    ['uid', held.runAsUser ?? 'that of the image'],
    ['gid', held.runAsGroup ?? 'that of the image'],
    ['further groups', [...new Set(groups)]],
    ['group of volumes', pod.fsGroup],
    ['may be root', held.runAsNonRoot === true ? 'no' : 'yes'],
    ['privileged', own.privileged === true ? 'yes' : 'no'],
    ['may gain privileges', gains ? 'yes' : 'no'],
    ['capabilities', own.capabilities],
    ['seccomp', held.seccompProfile?.type ?? 'Unconfined'],
    ['root file system', own.readOnlyRootFilesystem === true ? 'read-only' : 'writable'],
  ];
}

function affinities(affinity: unknown): [string, unknown][] {
  return Object.entries((affinity ?? {}) as Record<string, Record<string, unknown>>).flatMap(([kind, terms]) =>
    Object.entries(terms).map(([when, value]): [string, unknown] => [`${kind} ${when}`, value]),
  );
}

function defaultPolicy(image: string): string {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return name.includes('@') || (name.includes(':') && !name.endsWith(':latest')) ? 'IfNotPresent' : 'Always';
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ m: 1e-3, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 },
};

/** An amount in cores, bytes or pieces. */
export function numberOf(amount: unknown): number {
  const [, digits = '', unit = ''] = /^([0-9.]+)([A-Za-z]*)$/.exec(String(amount)) ?? [];
  return Math.ceil(Number(digits) * (UNITS[unit] ?? 1) * 1000) / 1000;
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

/** The same text for the same value, whatever the order of its keys. */
function write(value: unknown): string {
  if (typeof value === 'string') return value;
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(
          Object.entries(each)
            .filter(([, entry]) => !isNothing(entry))
            .sort(([left], [right]) => (left < right ? -1 : 1)),
        )
      : each,
  );
}
