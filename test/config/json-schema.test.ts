import Ajv from 'ajv';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runCommand } from '../../src/cli/index.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { readExamples, withExamples } from './examples.ts';

const FILE = new URL('../../docs/configuration.schema.json', import.meta.url);
const FILES = ['deploy/kubernetes/config.yaml', 'deploy/kubernetes-shared/config.yaml', 'README.md', 'docs/builds.md'];
const minimal = {
  baseUrl: 'https://hub.example.org',
  auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
  images: { list: [{ reference: 'example.org/lab:1' }] },
  lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
};
const ofLab = (lab: object) => ({ ...minimal, lab: { ...minimal.lab, ...lab } });
const ofSize = (size: object) => ofLab({ sizes: [{ ...minimal.lab.sizes[0], ...size }] });

async function readSchema(): Promise<object> {
  return JSON.parse(await readFile(FILE, 'utf8')) as object;
}

async function validate(value: unknown): Promise<string[]> {
  const ajv = new Ajv({ allErrors: true });
  ajv.validate(await readSchema(), value);
  return (ajv.errors ?? []).map(({ dataPath, message }) => `${dataPath}: ${message ?? ''}`);
}

/** The configurations in a file: the file, or what its YAML blocks have. */
async function configurationsOf(name: string): Promise<unknown[]> {
  const text = await readFile(new URL(`../../${name}`, import.meta.url), 'utf8');
  if (name.endsWith('.yaml')) return [parse(text) as unknown];
  return [...text.matchAll(/```yaml\n(.*?)```/gs)]
    .map(([, block = '']) => block)
    .filter((block) => /^baseUrl:/m.test(block))
    .map((block) => parse(block) as unknown);
}

describe('docs/configuration.schema.json', () => {
  /** `npx vitest run test/config/json-schema.test.ts --update` writes it anew. */
  it('is the schema of the configuration, with examples', async () => {
    const schema = withExamples(configJsonSchema(), await readExamples());
    const text = `${JSON.stringify({ ...schema, title: 'Configuration of Labwright' }, undefined, 1)}\n`;
    await expect(text).toMatchFileSnapshot(FILE.pathname);
  });

  it('is what labwright schema prints', async () => {
    const { stdout, exitCode } = await runCommand({ command: 'schema' });
    expect([JSON.parse(stdout), exitCode]).toEqual([await readSchema(), 0]);
  });

  it('accepts every example', async () => {
    for (const example of await readExamples()) expect(await validate(example)).toEqual([]);
    for (const name of FILES) {
      for (const found of await configurationsOf(name)) expect(await validate(found)).toEqual([]);
    }
  });

  it.each([
    ['a file as text, as data, and with permissions', { files: { '/a': 'b', '/c': { json: { d: 1 }, mode: '0755' } } }],
    ['seconds', { spawnTimeout: 600 }],
    ['a claim', { volumes: [{ name: 'a', persistentVolumeClaim: { storage: '1Gi' } }] }],
    [
      'pieces of Kubernetes',
      { tolerations: [{ key: 'a', operator: 'Exists' }], sidecars: [{ name: 'a', image: 'b' }] },
    ],
  ])('accepts %s', async (_, lab) => {
    expect(await validate(ofLab(lab))).toEqual([]);
  });

  it.each([
    ['nothing', {}, ": should have required property 'baseUrl'"],
    ['a key that is not known', { ...minimal, lob: {} }, ': should NOT have additional properties'],
    ['one inside', ofLab({ spawnTimout: '5m' }), '.lab: should NOT have additional properties'],
    ['a size without a name', ofSize({ name: undefined }), ".lab.sizes[0]: should have required property 'name'"],
    ['no sizes', ofLab({ sizes: [] }), '.lab.sizes: should NOT have fewer than 1 items'],
    ['GB', ofSize({ memory: '2GB' }), '.lab.sizes[0].memory: should match pattern'],
    ['words for time', ofLab({ spawnTimeout: '5 minutes' }), '.lab.spawnTimeout: should match pattern'],
    ['true for time', ofLab({ spawnTimeout: true }), '.lab.spawnTimeout: should be string,number'],
    ['less than no CPU', ofSize({ cpu: -1 }), '.lab.sizes[0].cpu: should be >= 0'],
    ['text for a number', ofLab({ port: '8080' }), '.lab.port: should be integer'],
    ['a number for text', ofLab({ env: { N: 4 } }), ".lab.env['N']: should be string"],
    ['a word that is none', ofLab({ imagePullPolicy: 'Sometimes' }), '.lab.imagePullPolicy: should be equal to one of'],
    ['a path that is none', ofLab({ runtimeMountsDir: 'etc' }), '.lab.runtimeMountsDir: should match pattern'],
    ['a list for a table', ofLab({ nodeSelector: ['a'] }), '.lab.nodeSelector: should be object'],
    ['permissions as a number', ofLab({ files: { '/a': { text: 'b', mode: 493 } } }), '.lab.files'],
    ['a piece of Kubernetes that is text', ofLab({ tolerations: ['a'] }), '.lab.tolerations[0]: should be object'],
  ])('rejects %s', async (_, value, problem) => {
    // As it comes from a file, in which nothing is undefined.
    const problems = await validate(JSON.parse(JSON.stringify(value)));
    expect(problems.join('\n')).toContain(problem);
  });

  it('writes defaults as a person does', async () => {
    const { properties } = (await readSchema()) as {
      properties: {
        lab: { properties: Record<string, { default?: unknown; examples?: unknown[]; description?: string }> };
      };
    };
    expect(properties.lab.properties['spawnTimeout']).toMatchObject({
      default: '10m',
      examples: ['10m'],
      description: expect.stringContaining('has failed') as string,
    });
  });
});
