import { isRecord } from '../../util/is-record.ts';
import { compact, type Fragment, importEnv, withPlaceholders } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';
import { importMounts, type Pieces, sidecarMounts } from './volumes.ts';

interface Context extends Pick<Pieces, 'scheme' | 'volumes'> {
  /** Key of the configuration that they go to. */
  readonly to: string;
}

const SETTINGS = ['name', 'image', 'command', 'args', 'imagePullPolicy', 'env', 'volumeMounts', 'securityContext'];
const USER =
  'it runs as the user of the lab, and not as that of its image: where it needs another one, say runAsRoot, or ' +
  'securityContext.runAsUser in lab.podPatch.initContainers';

/** Containers that run before the lab. What there is no setting for is patched into them. */
export function importInitContainers(source: Source, { to, scheme, volumes }: Context): Fragment {
  const containers: Table[] = [];
  const patches: Table[] = [];
  for (const [, entry] of source.entries()) {
    if (!isRecord(entry.value)) continue;
    const { name, image, command, args, imagePullPolicy, securityContext } = entry.value;
    const envAt = entry.at('env');
    const mountsAt = entry.at('volumeMounts');
    const security = isRecord(securityContext) ? securityContext : {};
    // What may add capabilities needs Pod Security of the same level.
    const isPrivileged = security['privileged'] === true || addsCapabilities(security);
    const env = envAt === undefined ? {} : importEnv(envAt, `${to}.initContainers[].env`, scheme);
    const { mounts, patch } =
      mountsAt === undefined
        ? { mounts: [], patch: [] }
        : importMounts(mountsAt, `${to}.initContainers[].volumeMounts`, volumes, scheme);
    containers.push(
      compact({
        ...{ name, image, imagePullPolicy, env: env['env'], volumeMounts: mounts },
        command: withPlaceholders(command, scheme),
        args: withPlaceholders(args, scheme),
        privileged: isPrivileged ? true : undefined,
        runAsRoot: security['runAsUser'] === 0 && !isPrivileged ? true : undefined,
      }),
    );
    const more = compact({
      ...without(entry.value, ...SETTINGS),
      volumeMounts: patch,
      securityContext: compact(furtherSecurity(security)),
    });
    if (Object.keys(more).length > 0) patches.push({ name, ...(withPlaceholders(more, scheme) as Table) });
    if (security['runAsUser'] === undefined && !isPrivileged) entry.remarked(`${to}.initContainers`, USER);
    else entry.mapped(`${to}.initContainers`);
  }
  return compact({ initContainers: containers, podPatch: compact({ initContainers: patches }) });
}

/** What `privileged` and `runAsRoot` do not say. */
function furtherSecurity(security: Table): Table {
  return security['runAsUser'] === 0 ? without(security, 'privileged', 'runAsUser') : without(security, 'privileged');
}

function without(table: Table, ...keys: readonly string[]): Table {
  return Object.fromEntries(Object.entries(table).filter(([key]) => !keys.includes(key)));
}

function addsCapabilities({ capabilities }: Table): boolean {
  return isRecord(capabilities) && Array.isArray(capabilities['add']) && capabilities['add'].length > 0;
}

/** Containers beside the lab, with the mounts of volumes that are there. */
export function importSidecars(source: Source, { to, scheme, volumes }: Context): Fragment {
  const sidecars: Json[] = [];
  const patches: Table[] = [];
  for (const [, entry] of source.entries()) {
    const container = withPlaceholders(entry.value, scheme);
    if (!isRecord(container)) continue;
    const mountsAt = entry.at('volumeMounts');
    const { mounts, patch } =
      mountsAt === undefined
        ? { mounts: [], patch: [] }
        : sidecarMounts(mountsAt, `${to}.sidecars[].volumeMounts`, volumes, scheme);
    if (patch.length > 0) patches.push({ name: container['name'], volumeMounts: patch });
    const { securityContext: asked } = container;
    const security = isRecord(asked) ? asked : {};
    const asRoot = security['privileged'] === true && security['runAsUser'] === undefined;
    const securityContext = asRoot ? { ...security, runAsUser: 0, runAsNonRoot: false } : asked;
    sidecars.push(compact({ ...container, securityContext, volumeMounts: mounts }));
    if (asRoot) entry.remarked(`${to}.sidecars`, 'privileged, and so as root: most images for that are');
    else if (security['runAsUser'] === undefined) entry.remarked(`${to}.sidecars`, USER);
    else entry.mapped(`${to}.sidecars`);
  }
  return compact({ sidecars, podPatch: compact({ initContainers: patches }) });
}
