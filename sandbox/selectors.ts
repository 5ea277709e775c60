import { isObject, type KubeObject } from './objects.ts';
import type { ResourceType } from './resource-type.ts';
import { badRequest } from './status.ts';

/** Whether an object is meant by a selector. */
export type Matcher = (object: KubeObject) => boolean;

interface Requirement {
  readonly key: string;
  readonly operator: 'in' | 'notin' | 'exists' | 'missing';
  readonly values: ReadonlySet<string>;
}

/**
 * A label selector as in `?labelSelector=`: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, separated by
 * commas, all of which must hold. Undefined when it selects everything.
 *
 * @throws ApiError 400
 */
export function parseLabelSelector(text: string): Matcher | undefined {
  const requirements = splitOutsideParentheses(text).map(parseRequirement);
  if (requirements.length === 0) return undefined;
  return ({ metadata: { labels } }) => requirements.every((requirement) => holds(requirement, labels ?? {}));
}

function parseRequirement(text: string): Requirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator = '', values = ''] = set;
    return { key, operator: operator as 'in' | 'notin', values: new Set(values.split(',').map((v) => v.trim())) };
  }
  const equality = /^([^=!\s]+)\s*(==?|!=)\s*(\S*)$/.exec(text);
  if (equality !== null) {
    const [, key = '', operator = '', value = ''] = equality;
    return { key, operator: operator === '!=' ? 'notin' : 'in', values: new Set([value]) };
  }
  const presence = /^(!?)\s*([^=!\s()]+)$/.exec(text);
  if (presence !== null) {
    const [, not = '', key = ''] = presence;
    return { key, operator: not === '' ? 'exists' : 'missing', values: new Set() };
  }
  throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
}

function holds({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key];
  switch (operator) {
    case 'in':
      return value !== undefined && values.has(value);
    case 'notin':
      return value === undefined || !values.has(value);
    case 'exists':
      return value !== undefined;
    case 'missing':
      return value === undefined;
  }
}

/**
 * A field selector as in `?fieldSelector=`: `a=b` and `a!=b` over the fields of this kind.
 *
 * @throws ApiError 400 for a field that this kind cannot be selected by
 */
export function parseFieldSelector(type: ResourceType, text: string): Matcher | undefined {
  const terms = text.split(',').filter((term) => term !== '');
  if (terms.length === 0) return undefined;
  const tests = terms.map((term) => parseFieldTerm(type, term));
  return (object) => tests.every((test) => test(object));
}

function parseFieldTerm(type: ResourceType, term: string): Matcher {
  const parsed = /^([^=!]+)(==?|!=)(.*)$/.exec(term);
  if (parsed === null) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
  const [, field = '', operator = '', wanted = ''] = parsed;
  if (!['metadata.name', 'metadata.namespace', ...type.fields].includes(field)) {
    throw badRequest(
      type.fields.length === 0
        ? `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`
        : `field label not supported: ${field}`,
    );
  }
  const path = field.split('.');
  return (object) => (textAt(object, path) === wanted) === (operator !== '!=');
}

function textAt(object: KubeObject, path: readonly string[]): string {
  let value: unknown = object;
  for (const step of path) value = isObject(value) ? value[step] : undefined;
  return typeof value === 'string' ? value : typeof value === 'boolean' ? String(value) : '';
}

function splitOutsideParentheses(text: string): string[] {
  return text
    .split(/,(?![^()]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
