import type { KubeObject } from './objects.ts';
import type { ResourceType } from './resource-types.ts';
import { type Cause, cause } from './status.ts';

interface NameRule {
  readonly maxLength: number;
  readonly message: string;
  /** Whether the characters are right; the length is checked apart. */
  readonly test: (name: string) => boolean;
}

function rule(pattern: string, maxLength: number, message: string): NameRule {
  const expression = new RegExp(`^${pattern}$`);
  return {
    maxLength,
    message: `${message}, regex used for validation is '${pattern}')`,
    test: (name) => expression.test(name),
  };
}

export const DNS_LABEL = rule(
  '[a-z0-9]([-a-z0-9]*[a-z0-9])?',
  63,
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc'",
);

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
  else causes.push(...check(NAME_RULES[type.names], 'metadata.name', name));
  for (const [key, value] of Object.entries(labels)) {
    causes.push(...checkKey('metadata.labels', key), ...check(LABEL_VALUE, 'metadata.labels', value));
  }
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

function checkKey(field: string, key: string, shown = key): Cause[] {
  const slash = key.indexOf('/');
  const prefix = slash === -1 ? undefined : key.slice(0, slash);
  const causes = prefix === undefined ? [] : check(DNS_SUBDOMAIN, field, prefix);
  if (causes.length > 0) return [cause.invalid(field, shown, `prefix part ${DNS_SUBDOMAIN.message}`)];
  const name = key.slice(slash + 1);
  if (name.length > QUALIFIED_NAME.maxLength) {
    return [
      cause.invalid(field, shown, `name part must be no more than ${String(QUALIFIED_NAME.maxLength)} characters`),
    ];
  }
  return QUALIFIED_NAME.test(name) ? [] : [cause.invalid(field, shown, QUALIFIED_NAME.message)];
}

function check({ maxLength, message, test }: NameRule, field: string, value: string): Cause[] {
  const causes: Cause[] = [];
  if (value.length > maxLength) {
    causes.push(cause.invalid(field, value, `must be no more than ${String(maxLength)} characters`));
  }
  if (!test(value)) causes.push(cause.invalid(field, value, message));
  return causes;
}
