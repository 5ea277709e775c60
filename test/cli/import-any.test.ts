import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { importFrom } from '../../src/cli/import/importer.ts';
import { IMPORT_KINDS } from '../../src/cli/import/kinds.ts';
import { parse, stringify } from 'yaml';
import { BINDERHUB_VALUES, HUB_VALUES, NUBLADO_VALUES } from './import-samples.ts';
import { untold } from './importing.ts';

/** Keys that the importers look at, so that what is made up is read by them. */
const KEYS = [
  ...[
    'singleuser',
    'hub',
    'config',
    'KubeSpawner',
    'custom',
    'singleuserAdmin',
    'jupyterhub',
    'extraConfig',
    'extraFiles',
  ],
  ...[
    'storage',
    'static',
    'dynamic',
    'type',
    'extraVolumes',
    'extraVolumeMounts',
    'extraEnv',
    'initContainers',
    'image',
    'name',
  ],
  ...[
    'profileList',
    'profile_options',
    'choices',
    'kubespawner_override',
    'networkPolicy',
    'memory',
    'cpu',
    'limit',
    'cmd',
  ],
  ...[
    'controller',
    'lab',
    'images',
    'source',
    'sizes',
    'resources',
    'limits',
    'volumes',
    'volumeMounts',
    'fileserver',
    'nss',
  ],
  ...[
    'pin',
    'env',
    'files',
    'secrets',
    'namespaceAnnotations',
    'standardInithome',
    'enabled',
    'global',
    'baseUrl',
    'fsadmin',
  ],
  ...[
    'BinderHub',
    'KubernetesBuildExecutor',
    'GitHubRepoProvider',
    'image_prefix',
    'banned_specs',
    'repo_providers',
    'registry',
  ],
  ...[
    'binderhub-service',
    'dockerApi',
    'extra_envs',
    'appendix',
    'access_token',
    'url',
    'max_age',
    'build_max_age',
    'surprise',
  ],
];
const { values } = fc.letrec((tie) => ({
  values: fc.oneof(
    { maxDepth: 6, depthSize: 'large' },
    fc.constantFrom<unknown>('a', '1', 0, 3, -1, true, false, '2G', '{username}', 'https://a.b', '('),
    fc.array(tie('values'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie('values'), { maxKeys: 6, noNullPrototype: true }),
  ),
}));

/** Values as they should be, one of which is then something else. */
const SAMPLES = {
  z2jh: { singleuser: {}, ...(parse(HUB_VALUES) as object) },
  nublado: parse(NUBLADO_VALUES) as object,
  binderhub: parse(BINDERHUB_VALUES) as object,
};

function pathsOf(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, entry]: [string, unknown]) => [
    [key],
    ...pathsOf(entry).map((path) => [key, ...path]),
  ]);
}

function replaceAt(value: unknown, [key, ...rest]: readonly string[], other: unknown): unknown {
  if (key === undefined) return other;
  if (Array.isArray(value)) {
    return value.map((entry: unknown, index) => (String(index) === key ? replaceAt(entry, rest, other) : entry));
  }
  const table = value as Record<string, unknown>;
  return { ...table, [key]: replaceAt(table[key], rest, other) };
}

describe.each(IMPORT_KINDS)('import %s', (kind) => {
  it('takes whatever the values are, and says what became of each', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...KEYS), values, { maxKeys: 8, noNullPrototype: true }), (made) => {
        const { report, config, hubValues } = importFrom(kind, made, { homes: undefined });
        expect(untold(stringify(made, { aliasDuplicateObjects: false }), report).filter((path) => path !== '')).toEqual(
          [],
        );
        expect([typeof config, typeof hubValues]).toEqual(['string', 'string']);
      }),
      { numRuns: 300 },
    );
  });

  it('takes values of which one is something else than it should be', () => {
    const sample = SAMPLES[kind];
    fc.assert(
      fc.property(fc.constantFrom(...pathsOf(sample)), values, (path, other) => {
        const made = replaceAt(sample, path, other);
        const { report } = importFrom(kind, made, { homes: undefined });
        expect(untold(stringify(made, { aliasDuplicateObjects: false }), report)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
