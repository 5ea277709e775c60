import type { KubeObject } from './objects.ts';
import type { Cause, ResourceType } from './resource-type.ts';
import { cause } from './status.ts';

interface NameRule {
  readonly maxLength: number;
  /** What is wrong with the characters of a name, in the server's words; undefined when nothing is. */
  readonly problem: (name: string) => string | undefined;
}

function rule(pattern: string, maxLength: number, message: string): NameRule {
  const expression = new RegExp(`^${pattern}$`);
  const words = `${message}, regex used for validation is '${pattern}')`;
  return { maxLength, problem: (name) => (expression.test(name) ? undefined : words) };
}

const DNS_LABEL_1035 = rule(
  '[a-z]([-a-z0-9]*[a-z0-9])?',
  63,
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123'",
);

const DNS_SUBDOMAIN = rule(
  '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*',
  253,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com'",
);

const LABEL = rule(
  '[a-z0-9]([-a-z0-9]*[a-z0-9])?',
  63,
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc'",
);

function dotless(name: string): string | undefined {
  const problem = LABEL.problem(name);
  if (problem === undefined) return undefined;
  return DNS_SUBDOMAIN.problem(name) === undefined ? 'must not contain dots' : problem;
}

/** A DNS label. A name that is only wrong in its dots is told so. */
export const DNS_LABEL: NameRule = {
  maxLength: LABEL.maxLength,
  problem: (name) => dotless(name),
};

const QUALIFIED_NAME = rule(
  '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]',
  63,
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc'",
);

const LABEL_VALUE = rule(
  '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
  63,
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345'",
);

const NAME_RULES = { label: DNS_LABEL, label1035: DNS_LABEL_1035, subdomain: DNS_SUBDOMAIN };
/** All annotations of an object together. */
const ANNOTATIONS_BYTES = 256 * 1024;

/** The checks of names, labels and annotations that every kind has. */
export function checkMetadata(type: ResourceType, { metadata }: KubeObject): Cause[] {
  const { name, labels = {}, annotations = {} } = metadata;
  const causes: Cause[] = [];
  if (name === '') causes.push(cause.required('metadata.name', 'name or generateName is required'));
  else causes.push(...checkText(NAME_RULES[type.names], 'metadata.name', name));
  causes.push(...checkLabels('metadata.labels', labels));
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    // Annotation keys are compared in lower case.
    causes.push(...checkKey('metadata.annotations', key.toLowerCase(), key));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > ANNOTATIONS_BYTES) {
    const message = `Too long: may not be more than ${String(ANNOTATIONS_BYTES)} bytes`;
    causes.push({ reason: 'FieldValueTooLong', message, field: 'metadata.annotations' });
  }
  return causes;
}

export function checkLabels(field: string, labels: Readonly<Record<string, string>>): Cause[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...checkKey(field, key),
    ...checkText(LABEL_VALUE, field, value),
  ]);
}

function checkKey(field: string, key: string, shown = key): Cause[] {
  const slash = key.indexOf('/');
  if (slash !== -1) {
    const problem = DNS_SUBDOMAIN.problem(key.slice(0, slash));
    if (problem !== undefined) return [cause.invalid(field, shown, `prefix part ${problem}`)];
  }
  const name = key.slice(slash + 1);
  if (name.length > QUALIFIED_NAME.maxLength) {
    const limit = String(QUALIFIED_NAME.maxLength);
    return [cause.invalid(field, shown, `name part must be no more than ${limit} characters`)];
  }
  const problem = QUALIFIED_NAME.problem(name);
  return problem === undefined ? [] : [cause.invalid(field, shown, problem)];
}

/** Length and characters of a name. */
export function checkText({ maxLength, problem }: NameRule, field: string, value: string): Cause[] {
  const causes: Cause[] = [];
  if (value.length > maxLength) {
    causes.push(cause.invalid(field, value, `must be no more than ${String(maxLength)} characters`));
  }
  const wrong = problem(value);
  if (wrong !== undefined) causes.push(cause.invalid(field, value, wrong));
  return causes;
}
