import { readdir, readFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import type { JsonSchema } from '../../src/config/json-schema.ts';
import { isRecord } from '../../src/util/is-record.ts';

const EXAMPLES = new URL('../../deploy/examples/', import.meta.url);
/** Longest example in one line. */
const LENGTH = 100;

/** The example configurations: what they have at a key is its example. */
export async function readExamples(): Promise<unknown[]> {
  // full.yaml has most of it, in values that make sense together.
  const names = (await readdir(EXAMPLES)).sort(
    (left, right) => Number(right === 'full.yaml') - Number(left === 'full.yaml'),
  );
  return Promise.all(names.map(async (name) => parse(await readFile(new URL(name, EXAMPLES), 'utf8')) as unknown));
}

/** What the examples have at a key. */
export function inside(values: readonly unknown[], key: string): unknown[] {
  return values.flatMap((value) => (isRecord(value) && Object.hasOwn(value, key) ? [value[key]] : []));
}

/** What they have in the entries of a list or a table. */
export function insideEntries(values: readonly unknown[]): unknown[] {
  return values.flatMap((value) =>
    typeof value === 'object' && value !== null ? (Object.values(value) as unknown[]) : [],
  );
}

/** The object whose keys are listed for this key: itself, an entry of its list or a value of its table. */
export function objectOf(node: JsonSchema): JsonSchema | undefined {
  // Its keys are those of another place.
  if (node.title !== undefined) return undefined;
  if (node.properties !== undefined) return node;
  const entry = node.items ?? (node.additionalProperties === false ? undefined : node.additionalProperties);
  return entry?.properties === undefined || entry.title !== undefined ? undefined : entry;
}

/** A schema with an example beside each key that has no keys itself. */
export function withExamples(node: JsonSchema, values: readonly unknown[]): JsonSchema {
  const object = objectOf(node);
  if (object === undefined) return values.length === 0 ? node : { ...node, examples: [values[0]] };
  if (object !== node) {
    const entry = withExamples(object, insideEntries(values));
    return { ...node, ...(node.items === undefined ? { additionalProperties: entry } : { items: entry }) };
  }
  const properties = Object.entries(node.properties ?? {}).map(([key, child]) => [
    key,
    withExamples(child, inside(values, key)),
  ]);
  return { ...node, properties: Object.fromEntries(properties) as Record<string, JsonSchema> };
}

/** Paths of keys without keys of their own that no example has. */
export function withoutExample(node: JsonSchema, values: readonly unknown[], path = ''): string[] {
  const object = objectOf(node);
  if (object === undefined) return values.length === 0 ? [path] : [];
  if (object !== node) return withoutExample(object, insideEntries(values), `${path}[]`);
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    withoutExample(child, inside(values, key), path === '' ? key : `${path}.${key}`),
  );
}

/** An example in one line, as it can be written in a file. Of what is long, the first entry stands for all. */
export function writeExample(value: unknown): string {
  const line = typeof value === 'string' && value.includes('\n') ? JSON.stringify(value) : writeFlow(value);
  if (line.length <= LENGTH) return line;
  if (Array.isArray(value)) return value.length === 1 ? line : writeExample(value.slice(0, 1));
  const [first, ...others] = isRecord(value) ? Object.entries(value) : [];
  return first === undefined || others.length === 0 ? line : writeExample(Object.fromEntries([first]));
}

function writeFlow(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0, flowCollectionPadding: true }).trim();
}
