import { type KubeObject, without } from './objects.ts';

/** How a caller wants objects: whole, or only their metadata (`as=PartialObjectMetadata` in the Accept header). */
export type Form = 'full' | 'metadata';

// Stored objects never change, so each is turned into text once, however many lists and watches send it.
const texts: Record<Form, WeakMap<KubeObject, string>> = { full: new WeakMap(), metadata: new WeakMap() };

/** One object as JSON, with its kind and version. */
export function encodeObject(object: KubeObject, form: Form): string {
  const head =
    form === 'metadata'
      ? '{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",'
      : `{"kind":"${object.kind}","apiVersion":"${object.apiVersion}",`;
  return head + fields(object, form).slice(1);
}

/** One object as it stands in a list: Kubernetes leaves kind and version out there, except for bare metadata. */
export function encodeItem(object: KubeObject, form: Form): string {
  return form === 'metadata' ? encodeObject(object, form) : fields(object, form);
}

/** One line of a watch. */
export function encodeEvent(type: string, object: KubeObject, form: Form): string {
  return `{"type":"${type}","object":${encodeObject(object, form)}}\n`;
}

function fields(object: KubeObject, form: Form): string {
  const known = texts[form].get(object);
  if (known !== undefined) return known;
  const text = JSON.stringify(
    form === 'metadata' ? { metadata: object.metadata } : without(object, 'apiVersion', 'kind'),
  );
  texts[form].set(object, text);
  return text;
}
