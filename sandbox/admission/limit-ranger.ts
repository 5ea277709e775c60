import { listAt, objectAt, specOf, textAt } from '../kinds/common.ts';
import { limitRanges } from '../kinds/limit-ranges.ts';
import { pods } from '../kinds/pods.ts';
import type { JsonObject, KubeObject } from '../objects.ts';
import { quantity } from '../quantity.ts';
import { forbidden } from '../status.ts';
import type { Store } from '../store.ts';

const ANNOTATION = 'kubernetes.io/limit-ranger';

/** Gives containers the requests and limits they left out, from the namespace's LimitRanges. */
export function applyLimitRanges(store: Store, pod: KubeObject): KubeObject {
  return containerLimits(store, pod).reduce(withDefaults, pod);
}

/** @throws ApiError 403 when a container asks for more or less than the namespace allows */
export function checkLimitRanges(store: Store, pod: KubeObject): void {
  for (const item of containerLimits(store, pod)) {
    for (const container of containersOf(pod)) {
      const resources = objectAt(container, 'resources');
      checkBound(pod, objectAt(item, 'max'), objectAt(resources, 'limits'), 'maximum');
      checkBound(pod, objectAt(item, 'min'), objectAt(resources, 'requests'), 'minimum');
    }
  }
}

function checkBound(pod: KubeObject, bounds: JsonObject, values: JsonObject, word: 'maximum' | 'minimum'): void {
  const what = word === 'maximum' ? 'limit' : 'request';
  for (const [name, bound] of Object.entries(bounds)) {
    const value = values[name];
    const rule = `${word} ${name} usage per Container is ${String(bound)}`;
    if (value === undefined) throw forbidden(pods, pod.metadata.name, `${rule}. No ${what} is specified`);
    const difference = quantity(value) - quantity(bound);
    if (word === 'maximum' ? difference > 0 : difference < 0) {
      throw forbidden(
        pods,
        pod.metadata.name,
        `${rule}, but ${what} is ${typeof value === 'number' ? String(value) : textAt(values, name)}`,
      );
    }
  }
}

function containerLimits(store: Store, pod: KubeObject): JsonObject[] {
  return [...store.objects(limitRanges, pod.metadata.namespace ?? '')]
    .flatMap((range) => listAt(specOf(range), 'limits'))
    .filter((item) => item['type'] === 'Container');
}

function containersOf(pod: KubeObject): JsonObject[] {
  return ['initContainers', 'containers'].flatMap((field) => listAt(specOf(pod), field));
}

function withDefaults(pod: KubeObject, item: JsonObject): KubeObject {
  const notes: string[] = [];
  const spec = specOf(pod);
  const filled = ['containers', 'initContainers']
    .filter((field) => field in spec)
    .map((field) => {
      const word = field === 'containers' ? 'container' : 'init container';
      return [field, listAt(spec, field).map((container) => fill(container, item, word, notes))] as const;
    });
  if (notes.length === 0) return pod;
  const annotations = { ...pod.metadata.annotations, [ANNOTATION]: `LimitRanger plugin set: ${notes.join('; ')}` };
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations },
    spec: { ...spec, ...Object.fromEntries(filled) },
  };
}

function fill(container: JsonObject, item: JsonObject, word: string, notes: string[]): JsonObject {
  const resources = objectAt(container, 'resources');
  const add = (field: 'requests' | 'limits', defaults: JsonObject) => {
    const given = objectAt(resources, field);
    const missing = Object.keys(defaults).filter((name) => !(name in given));
    if (missing.length > 0) {
      notes.push(`${missing.sort().join(', ')} ${field.slice(0, -1)} for ${word} ${textAt(container, 'name')}`);
    }
    return { ...defaults, ...given };
  };
  const requests = add('requests', objectAt(item, 'defaultRequest'));
  const limits = add('limits', objectAt(item, 'default'));
  return { ...container, resources: { ...resources, limits, requests } };
}
