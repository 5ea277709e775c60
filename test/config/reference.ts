import { inside, insideEntries, objectOf, writeExample } from './examples.ts';
import { configJsonSchema, type JsonSchema } from '../../src/config/json-schema.ts';
import { writeAmount } from '../../src/config/units.ts';

const schema = configJsonSchema();

/** Title of what is checked by the types of Kubernetes. */
const AS_IN_KUBERNETES = 'as in Kubernetes';

const INTRODUCTION = `# Configuration

One YAML file (\`labwright serve --config FILE\`), read at start and [again when it has changed](#a-changed-file); \`labwright check-config FILE\` says everything that is
wrong with one, and with \`--cluster\` also what the cluster would refuse of a lab of each size. Unknown keys are refused. [minimal.yaml](../deploy/examples/minimal.yaml) has what must be there,
[full.yaml](../deploy/examples/full.yaml) nearly everything that can be, and [course.yaml](../deploy/examples/course.yaml) what it leaves out: the examples
below are theirs.

[configuration.schema.json](configuration.schema.json) is the same as JSON Schema, for editors and Helm; \`labwright schema\` prints it. An editor with the
YAML language server checks and completes a file that begins with

\`\`\`yaml
# yaml-language-server: $schema=./configuration.schema.json
\`\`\`

where the address is that of the schema: a path or a URL. A chart whose values hold the configuration names it in its own \`values.schema.json\`
(\`{"properties": {"config": {"$ref": "…"}}}\`). Rules over several keys, and what Kubernetes says of its own pieces, are known to \`check-config\` only.

- A **duration** is written \`90s\`, \`10m\`, \`1h30m\`, or as a number of seconds.
- **Memory** is written \`4Gi\`, \`250M\`, or as a number of bytes.
- **CPU** is written \`500m\`, \`2\` or \`0.5\`.
- \`[]\` in a heading stands for each entry of a list, \`<name>\` for each key of a table.
- Where the type says "as in Kubernetes", the keys are those of the Kubernetes API.
- Of long examples only the first entry is shown.
- Values of \`lab\` may name the user of a lab: [users in values](users-in-values.md).

## A changed file

While Labwright runs, it looks every two seconds whether the file has changed, also as a mounted ConfigMap. New values of \`users\`, \`images\`, \`quotas\`,
\`lab\`, \`overlays\` and \`limits.labsPerUser\` hold from then on: for forms, for labs that are asked for, and for how labs are ended. Labs that run are left as they
are, and requests and event streams in progress go on. All other keys, and \`images.prepull\`, \`lab.namespaces\`, \`lab.namespace\` and \`lab.token\`, take effect at the
next start. The log says which top-level keys have changed and what waits for a start; if the rest of the file cannot be used without that, all of it waits.

A file that \`check-config\` would refuse, or that cannot be read, is refused: the configuration before goes on. The log has one error with
everything that is wrong. In the \`components\` of \`/readyz\`, \`configuration\` has a \`notice\` and is not \`ready\` until the file is
mended; the replica stays ready. Mend it before the next start, which reads nothing else.
`;

/**
 * The reference of the configuration, from the schema itself.
 *
 * @param parsed - A configuration with nothing but what is required: where defaults that are computed are seen.
 * @param examples - What the example configurations have.
 */
export function writeReference(parsed: unknown, examples: readonly unknown[]): string {
  return `${INTRODUCTION}${section(schema, '', parsed, examples).join('')}`;
}

/** Paths of keys that nobody described. */
export function undescribedKeys(node: JsonSchema = schema, path = ''): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const here = path === '' ? key : `${path}.${key}`;
    const inner = objectOf(child);
    if (child.description === undefined) return [here];
    return inner === undefined ? [] : undescribedKeys(inner, here);
  });
}

function section(node: JsonSchema, path: string, parsed: unknown, examples: readonly unknown[]): string[] {
  const entries = Object.entries(node.properties ?? {});
  const rows = entries.map(([key, child]) => {
    const required = node.required?.includes(key) === true;
    const value = required ? 'required' : writeDefault(child, (parsed as Record<string, unknown> | undefined)?.[key]);
    const [example] = objectOf(child) === undefined ? inside(examples, key) : [];
    const written = example === undefined ? '' : `\`${writeExample(example)}\``;
    return `| ${[`\`${key}\``, writeType(child), value, child.description ?? '', written].map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  const heading = path === '' ? '## Top level' : `${'#'.repeat(Math.min(4, path.split('.').length + 1))} \`${path}\``;
  const table = `\n${heading}\n\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n${rows.join('')}`;
  const inner = entries.flatMap(([key, child]) => {
    const object = objectOf(child);
    if (object === undefined) return [];
    const here = `${path === '' ? '' : `${path}.`}${key}${child.items === undefined ? '' : '[]'}${child.additionalProperties ? '.<name>' : ''}`;
    const inHere = inside(examples, key);
    return object === child
      ? section(object, here, (parsed as Record<string, unknown> | undefined)?.[key], inHere)
      : section(object, here, undefined, insideEntries(inHere));
  });
  return [table, ...inner];
}

function writeType(node: JsonSchema): string {
  const object = objectOf(node);
  if (node.items?.title === AS_IN_KUBERNETES) return `list, ${AS_IN_KUBERNETES}`;
  if (node.title !== undefined) return node.title;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${value}\``).join(', ');
  if (node.items !== undefined) return object === undefined ? `list of ${writeType(node.items)}` : 'list';
  if (node.additionalProperties)
    return object === undefined ? `table of ${writeType(node.additionalProperties)}` : 'table';
  if (node.anyOf !== undefined)
    return node.anyOf.some(({ type }) => type === 'null') ? 'text or null' : 'address block';
  const names: Readonly<Record<string, string>> = {
    boolean: 'true or false',
    integer: 'whole number',
    number: 'number',
    object: 'keys',
    string: 'text',
  };
  return names[String(node.type)] ?? '';
}

function writeDefault(node: JsonSchema, parsed: unknown): string {
  if (node.properties !== undefined || node.description?.includes('when absent') === true) return '';
  const value = node.default ?? parsed;
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return `\`${writeAmount(node.title, value)}\``;
  if (value === '') return 'empty';
  if (typeof value === 'object' && Object.keys(value).length === 0) return 'empty';
  return `\`${typeof value === 'string' ? value.replaceAll('\n', '\\n') : JSON.stringify(value)}\``;
}
