import { checkKubernetes, type KubernetesType } from '../../src/domain/kubernetes/check.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';

/**
 * What the API server refuses in a value of this type, by the same rules that check configurations; test/conformance compares them
 * with a real server. The words are ours, the fields mostly the server's.
 *
 * @param field where the value is in its object
 */
export function checkByRules(type: KubernetesType, value: unknown, field: string): Cause[] {
  return checkKubernetes(type, value, 'ignore').map(({ path, message }) => {
    const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
    return cause.invalid(`${field}${place}`, valueAt(value, path), message);
  });
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, part) => (inner as Record<string | number, unknown> | undefined)?.[part], value);
}
