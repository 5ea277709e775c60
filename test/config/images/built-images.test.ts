import { describe, expect, it } from 'vitest';
import { type ConfigError, parseConfig } from '../../../src/config/index.ts';

const BUILDS = 'builds: { registry: { host: registry.example.org }, builder: { image: "example.org/builder:1" } }\n';

const configWith = (source: string, builds = BUILDS) =>
  parseConfig(`baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { sources: [{ name: built, ${source} }] }
lab: { sizes: [{ name: small, cpu: 1, memory: 1Gi }] }
${builds}`);

function problemsOf(source: string, builds = BUILDS): string[] {
  try {
    configWith(source, builds);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const SOME = 'builds: { repositories: ["github\\\\.com/ada/"] }';
const AT = 'images.sources[0]';

describe('a source of images that were built here', () => {
  it('offers the newest five of each repository, and wants none, when nothing else is said', () => {
    const [source] = configWith(SOME).images.sources;
    expect(source?.builds).toEqual({ repositories: ['github\\.com\\/ada\\/'], newest: 5, wanted: 0 });
  });

  it.each([
    ['repositories that are named', 'builds: {}', `${AT}.builds.repositories: missing: expected a list`],
    ['some of them', 'builds: { repositories: [] }', `${AT}.builds.repositories: `],
    ['regular expressions', 'builds: { repositories: ["("] }', `${AT}.builds.repositories[0]: expected a regular`],
    ['a number of images', 'builds: { repositories: [a], newest: 0 }', `${AT}.builds.newest: `],
    ['no more wanted than offered', 'builds: { repositories: [a], newest: 2, wanted: 3 }', `${AT}.builds.wanted: `],
    ['no tags', `${SOME}, tags: { grammar: rubin }`, `${AT}.tags: expected none: images that were built here`],
    ['no tags, also the usual ones', `${SOME}, tags: {}`, `${AT}.tags: expected none`],
    ['no repository of a registry', `${SOME}, repository: quay.io/a/b`, `${AT}: expected one of repository, `],
    ['something', 'title: Built', `${AT}: expected one of repository, artifactRegistry and builds`],
  ])('has %s', (_, source, problem) => {
    expect(problemsOf(source)).toEqual([expect.stringContaining(problem)]);
  });

  it('is refused where nothing is built', () => {
    expect(problemsOf(SOME, '')).toEqual([`${AT}.builds: expected builds to be configured: nothing is built here`]);
  });
});
