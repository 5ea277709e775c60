/** The forms of names in Kubernetes, each with the words for what was expected. */
const QUALIFIED_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

export const EXPECTED = {
  qualifiedName: 'expected a name such as example.com/name, of letters, digits, - _ and .',
  labelValue: 'expected at most 63 letters, digits, - _ and ., beginning and ending with a letter or digit',
  dnsLabel: 'expected at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit',
  objectName: 'expected the name of a Kubernetes object: a-z, 0-9, - and .',
  portName: 'expected a port from 1 to 65535, or the name of one: at most 15 of a-z, 0-9 and -',
  quantity: 'expected an amount such as 500m, 2 or 4Gi',
} as const;

/** Key of a label, an annotation, a taint or an extended resource: a name, and before it a domain if there is one. */
export function isQualifiedName(text: string): boolean {
  const slash = text.indexOf('/');
  return (slash === -1 || isObjectName(text.slice(0, slash))) && QUALIFIED_NAME.test(text.slice(slash + 1));
}

export function isLabelValue(text: string): boolean {
  return LABEL_VALUE.test(text);
}

export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text);
}

/** The name of most objects: a DNS subdomain. */
export function isObjectName(text: string): boolean {
  return DNS_SUBDOMAIN.test(text);
}

/** A port by its number or its name. */
export function isPort(port: string | number): boolean {
  return typeof port === 'number' ? isPortNumber(port) : isPortName(port);
}

export function isPortName(text: string): boolean {
  return PORT_NAME.test(text);
}

export function isPortNumber(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}
