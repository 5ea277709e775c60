import { z } from 'zod';
import { TEXT_OR_KEYS } from './lab-pieces.ts';
import { configSchema } from './schema.ts';
import { writeAmount } from './units.ts';

/** The part of JSON Schema that the schema of the configuration turns into. */
export interface JsonSchema {
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly pattern?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly default?: unknown;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | false;
  readonly items?: JsonSchema;
  readonly examples?: readonly unknown[];
}

let schema: JsonSchema | undefined;

/** The schema of a configuration file as JSON Schema (draft 7, which editors and Helm read). Rules over several keys are not in it. */
export function configJsonSchema(): JsonSchema {
  schema ??= z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    reused: 'inline',
    override: (context) => {
      writeForPeople(context.jsonSchema, context.zodSchema);
    },
  }) as JsonSchema;
  return schema;
}

/** What a file may hold, where it is not what the program uses. */
function writeForPeople(json: Record<string, unknown>, zod: unknown): void {
  // No other validator knows these two formats; they have a pattern as well.
  if (/^cidr/.test(String(json['format']))) delete json['format'];
  // What is text or keys is read as keys.
  if (json['title'] === TEXT_OR_KEYS && json['type'] === 'object') {
    const { title, ...keys } = json;
    for (const key of Object.keys(json)) delete json[key];
    Object.assign(json, { title, anyOf: [{ type: 'string' }, keys] });
  }
  if (zod instanceof z.ZodDefault || zod instanceof z.ZodPrefault) {
    const { defaultValue } = zod.def;
    json['default'] =
      typeof defaultValue === 'number' ? writeAmount(json['title'] as string | undefined, defaultValue) : defaultValue;
  }
}
