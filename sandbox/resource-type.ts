import type { KubeObject } from './objects.ts';

/** One of the reasons of a refusal, with the field it is about. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** What one kind adds to the rules that hold for all of them. Every function is pure. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Whether `status` is written through a subresource only. */
  readonly hasStatus: boolean;
  /** Whether a delete answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  /** Whether a delete that does not say what becomes of the dependents leaves them behind; as for batch/v1. */
  readonly orphansByDefault: boolean;
  /** Whether a PUT makes the object when there is none. */
  readonly createdByPut?: boolean;
  /** Whether a PUT has to say which version it replaces. */
  readonly needsVersion?: boolean;
  readonly names: 'label' | 'label1035' | 'subdomain';
  /** Field selectors beyond `metadata.name` and `metadata.namespace`. */
  readonly fields: readonly string[];
  /** Fills in what the caller left out. */
  readonly defaults: (object: KubeObject) => KubeObject;
  /** Status and other fields that a new object has, whatever its creator sent. */
  readonly initial?: (object: KubeObject) => KubeObject;
  readonly validate: (object: KubeObject) => Cause[];
  readonly validateUpdate: (object: KubeObject, old: KubeObject) => Cause[];
}

export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}
