export type JsonObject = Readonly<Record<string, unknown>>;

/** Reports a fault; `path` is relative to the object that is looked at. */
export type ReportFault = (path: readonly (string | number)[], message: string) => void;

/** What the API server asks of an object whose fields and their types are right. */
export type Rule = (value: JsonObject, report: ReportFault) => void;

/** A rule for objects of one type, in which optional fields are as the type of the client library has them. */
export function ruleFor<T extends object>(rule: (value: T, report: ReportFault) => void): Rule {
  return rule as unknown as Rule;
}

/** A text that must be one of a few where it is given. */
export function oneOf(value: string | undefined, allowed: readonly string[], report: ReportFault, field: string): void {
  if (value !== undefined && !allowed.includes(value)) report([field], `expected ${allowed.join(' or ')}`);
}
