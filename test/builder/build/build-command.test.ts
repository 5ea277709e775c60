import { expect, it } from 'vitest';
import { buildCommand } from '../../../src/builder/build/build-command.ts';
import { buildConfig } from '../../../src/config/index.ts';

const { builds } = buildConfig({
  baseUrl: 'https://hub.example.org',
  auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
  images: { list: [{ reference: 'registry.example/lab:1' }] },
  lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
  builds: { builder: { image: 'registry.example/builder:1' }, registry: { host: 'registry.example' } },
});

it.each([
  ['10.5281/zenodo.100', '123', '10.5281/zenodo.123'],
  ['10.5281/zenodo.123', '123', '10.5281/zenodo.123'],
  // Of a prefix of its own: there is no other way to name it.
  ['10.1234/data.7', '123', '10.1234/data.7'],
])('the DOI %s, found as record %s, is built as %s', (url, commit, source) => {
  if (builds === undefined) throw new Error('no builds are configured');
  const repository = { provider: 'zenodo' as const, url, ref: 'HEAD', commit, binderSlug: `zenodo-${commit}` };
  const spec = { repository, path: '', image: 'registry.example/a:1' } as Parameters<typeof buildCommand>[2];
  expect(buildCommand(builds, builds.backend, spec).args.at(-1)).toBe(source);
});
