/** The part of an OpenAPI document of Kubernetes that is looked at. */
export interface OpenApiDocument {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly type?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
}

/** What configurations hold in Kubernetes' own form is of these types, and of those that they refer to. */
const ROOTS = ['PodSpec', 'NetworkPolicyPeer', 'NetworkPolicyPort'];

/**
 * Field names, types and what is required, of everything that a pod's specification and the rules of a network policy consist of,
 * as the text of src/domain/kubernetes/types.json.
 */
export function extractTypes(documents: readonly OpenApiDocument[], source: string): string {
  const schemas = new Map(
    documents.flatMap(({ components }) =>
      Object.entries(components.schemas).map(([name, it]) => [shortName(name), it]),
    ),
  );
  const types: Record<string, object> = {};
  const visit = (name: string) => {
    const schema = schemas.get(name);
    if (schema?.properties === undefined || name in types) return;
    const entries = Object.entries(schema.properties).map(([field, it]) => [field, typeOf(it)] as const);
    types[name] = { required: schema.required ?? [], fields: Object.fromEntries(entries) };
    for (const [, type] of entries) visit(type.replace(/[[{].*$/, ''));
  };
  ROOTS.forEach(visit);
  const sorted = Object.entries(types).sort(([left], [right]) => (left < right ? -1 : 1));
  const lines = sorted.map(([name, type]) => `    ${JSON.stringify(name)}: ${JSON.stringify(type)}`);
  const licence = 'Apache License 2.0, The Kubernetes Authors';
  return `{\n  "source": ${JSON.stringify(source)},\n  "license": ${JSON.stringify(licence)},\n  "types": {\n${lines.join(',\n')}\n  }\n}\n`;
}

/** `string`, `int32`, a type's name; a list of them ends with `[]`, a table with `{}`. */
function typeOf(schema: Schema): string {
  const [only] = schema.allOf ?? [];
  const reference = schema.$ref ?? only?.$ref;
  if (reference !== undefined) return shortName(reference);
  if (schema.items !== undefined) return `${typeOf(schema.items)}[]`;
  if (schema.additionalProperties !== undefined) return `${typeOf(schema.additionalProperties)}{}`;
  if (schema.type === 'integer') return schema.format ?? 'int64';
  return schema.type ?? 'object';
}

function shortName(reference: string): string {
  return reference.slice(reference.lastIndexOf('.') + 1);
}
