import type { ResourceType } from './resource-type.ts';
import { RESOURCE_TYPES } from './resource-types.ts';

interface Answer {
  readonly type: string;
  readonly body: string;
}

const VERSION = { major: '1', minor: '34', gitVersion: 'v1.34.4+labwright-sandbox', platform: 'nodejs' };
const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
/** The named API groups; each has one version. */
const GROUPS = ['batch', 'coordination.k8s.io', 'networking.k8s.io'];

const ANSWERS: ReadonlyMap<string, Answer> = new Map([
  ...['/livez', '/readyz', '/healthz'].map(
    (path) => [path, { type: 'text/plain; charset=utf-8', body: 'ok' }] as const,
  ),
  ['/version', json(VERSION)],
  ['/api', json({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] })],
  [
    '/apis',
    json({
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: GROUPS.map(groupOf),
    }),
  ],
  ['/api/v1', json(resourceList('', 'v1'))],
  ...GROUPS.map((name) => [`/apis/${name}/v1`, json(resourceList(name, `${name}/v1`))] as const),
]);

/** The fixed answers: health, version and what there is, so that `kubectl` can be pointed at the sandbox. */
export function discover(pathname: string): Answer | undefined {
  return ANSWERS.get(pathname);
}

function groupOf(name: string): object {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { name, versions: [version], preferredVersion: version };
}

function resourceList(group: string, groupVersion: string): object {
  const types = RESOURCE_TYPES.filter((type) => type.group === group);
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: types.flatMap(resourcesOf) };
}

function resourcesOf({ plural, singular, kind, namespaced, hasStatus }: ResourceType): object[] {
  const own = { name: plural, singularName: singular, namespaced, kind, verbs: VERBS };
  const status = { name: `${plural}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] };
  return hasStatus ? [own, status] : [own];
}

function json(value: object): Answer {
  return { type: 'application/json', body: JSON.stringify(value) };
}
