import { type JsonObject, type KubeObject, sameJson, without } from '../objects.ts';
import { quantity } from '../quantity.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { checkText, DNS_LABEL } from '../names.ts';
import { listAt, objectAt, specOf, textAt } from './common.ts';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const PORT_RANGE = 'must be between 1 and 65535, inclusive';
const ENV_NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='";

/** The checks of a pod's spec that Labwright's objects can run into. */
export function checkPodSpec(spec: JsonObject): Cause[] {
  const volumes = listAt(spec, 'volumes').map((volume) => textAt(volume, 'name'));
  const claimed = listAt(spec, 'containers');
  const causes = checkVolumes(volumes);
  if (claimed.length === 0) causes.push(cause.required('spec.containers'));
  const seen = new Set<string>();
  for (const field of ['initContainers', 'containers']) {
    listAt(spec, field).forEach((container, index) => {
      const path = `spec.${field}[${String(index)}]`;
      causes.push(...checkName(container, path, seen), ...checkContainer(container, path, volumes));
    });
  }
  const restartPolicy = textAt(spec, 'restartPolicy');
  if (!RESTART_POLICIES.includes(restartPolicy)) {
    causes.push(cause.unsupported('spec.restartPolicy', restartPolicy, RESTART_POLICIES));
  }
  return [...causes, ...checkImageSpaces(spec)];
}

function checkImageSpaces(spec: JsonObject): Cause[] {
  return ['initContainers', 'containers'].flatMap((field) =>
    listAt(spec, field).flatMap((container, index) => {
      const image = textAt(container, 'image');
      if (image === image.trim()) return [];
      return [
        cause.invalid(`spec.${field}[${String(index)}].image`, image, 'must not have leading or trailing whitespace'),
      ];
    }),
  );
}

function checkVolumes(names: readonly string[]): Cause[] {
  return names.flatMap((name, index) => {
    const path = `spec.volumes[${String(index)}].name`;
    if (name === '') return [cause.required(path)];
    const wrong = checkText(DNS_LABEL, path, name);
    if (wrong.length > 0) return wrong;
    return names.indexOf(name) < index ? [cause.duplicate(path, name)] : [];
  });
}

function checkName(container: JsonObject, path: string, seen: Set<string>): Cause[] {
  const name = textAt(container, 'name');
  if (name === '') return [cause.required(`${path}.name`)];
  const wrong = checkText(DNS_LABEL, `${path}.name`, name);
  if (wrong.length > 0) return wrong;
  if (seen.has(name)) return [cause.duplicate(`${path}.name`, name)];
  seen.add(name);
  return [];
}

function checkContainer(container: JsonObject, path: string, volumes: readonly string[]): Cause[] {
  const image = textAt(container, 'image');
  return [
    ...(image === '' ? [cause.required(`${path}.image`)] : []),
    ...checkPorts(container, path),
    ...checkEnv(container, path),
    ...checkMounts(container, path, volumes),
    ...checkResources(objectAt(container, 'resources'), `${path}.resources`),
  ];
}

function checkPorts(container: JsonObject, path: string): Cause[] {
  return listAt(container, 'ports').flatMap((port, index) => {
    const field = `${path}.ports[${String(index)}].containerPort`;
    const number = port['containerPort'];
    if (number === undefined || number === 0) return [cause.required(field)];
    return typeof number === 'number' && number >= 1 && number <= 65_535
      ? []
      : [cause.invalid(field, number, PORT_RANGE)];
  });
}

function checkEnv(container: JsonObject, path: string): Cause[] {
  return listAt(container, 'env').flatMap((entry, index) => {
    const field = `${path}.env[${String(index)}].name`;
    const name = textAt(entry, 'name');
    if (name === '') return [cause.required(field)];
    return /^[ -<>-~]+$/.test(name) ? [] : [cause.invalid(field, name, ENV_NAME)];
  });
}

function checkMounts(container: JsonObject, path: string, volumes: readonly string[]): Cause[] {
  const paths = new Set<string>();
  return listAt(container, 'volumeMounts').flatMap((mount, index) => {
    const at = `${path}.volumeMounts[${String(index)}]`;
    const name = textAt(mount, 'name');
    const mountPath = textAt(mount, 'mountPath');
    const causes: Cause[] = [];
    if (name === '') causes.push(cause.required(`${at}.name`));
    else if (!volumes.includes(name)) causes.push(cause.notFound(`${at}.name`, name));
    if (mountPath === '') causes.push(cause.required(`${at}.mountPath`));
    if (paths.has(mountPath)) causes.push(cause.invalid(`${at}.mountPath`, mountPath, 'must be unique'));
    paths.add(mountPath);
    return causes;
  });
}

function checkResources(resources: JsonObject, path: string): Cause[] {
  const limits = objectAt(resources, 'limits');
  return Object.entries(objectAt(resources, 'requests')).flatMap(([name, value]) => {
    const limit = limits[name];
    if (quantity(value) < 0) {
      return [cause.invalid(`${path}.requests[${name}]`, value, 'must be greater than or equal to 0')];
    }
    if (name.includes('/') && limit === undefined) {
      return [cause.required(`${path}.limits`, 'Limit must be set for non overcommitable resources')];
    }
    if (limit === undefined || quantity(value) <= quantity(limit)) return [];
    const why = `must be less than or equal to ${name} limit of ${shown(limit)}`;
    return [cause.invalid(`${path}.requests`, value, why)];
  });
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '';
}

const UPDATABLE =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** A pod's spec stays as it is, but for images and added tolerations. */
export function checkPodUpdate(object: KubeObject, old: KubeObject): Cause[] {
  return sameJson(fixedPart(specOf(object)), fixedPart(specOf(old))) ? [] : [cause.forbidden('spec', UPDATABLE)];
}

function fixedPart(spec: JsonObject): JsonObject {
  const withoutImages = ['containers', 'initContainers']
    .filter((field) => field in spec)
    .map((field) => [field, listAt(spec, field).map((container) => without(container, 'image'))] as const);
  return { ...without(spec, 'tolerations', 'activeDeadlineSeconds'), ...Object.fromEntries(withoutImages) };
}
