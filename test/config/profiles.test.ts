import { describe, expect, it } from 'vitest';
import { htmlPattern, isSlowPattern, matchesPattern, parseConfig } from '../../src/config/index.ts';
import type { Config, ConfigError } from '../../src/config/index.ts';
import type { ChosenProfile } from '../../src/domain/lab/lab.ts';
import { buildWith } from '../builder/cases.ts';

/** A configuration with these profiles, as YAML of a list. */
function configWith(profiles: string, lab = ''): Config {
  return parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }, { reference: "example.org/r:1", lab: { env: { WHO: image, R: "1" } } }] }
overlays: [{ name: a, match: { groups: [a] }, lab: { env: { WHO: overlay, TEAM: a } } }]
lab:
  sizes:
    - { name: small, cpu: 1, memory: 3Gi }
    - { name: gpu, cpu: 4, memory: 8Gi, lab: { env: { WHO: size, SIZE: gpu }, nodeSelector: { pool: gpu } } }
  env: { WHO: lab }
${lab.replaceAll(/^/gm, '  ')}
  profiles:
${profiles.trim().replaceAll(/^/gm, '    ')}
`);
}

function problemsOf(profiles: string, lab = ''): string[] {
  try {
    configWith(profiles, lab);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const CHOICES = `
- name: r
  image: "example.org/r:1"
  size: gpu
  lab: { env: { WHO: profile, PROFILE: r } }
  options:
    place:
      choices:
        - { name: here, lab: { env: { WHO: choice, PLACE: here } } }
        - { name: there, default: true, lab: { nodeSelector: { pool: there } } }
    note:
      choices: [{ name: none }]
      writeIn: { pattern: "[a-z {}_()$]+", lab: { env: { NOTE: "<{value}>", WHO: written }, args: [start, "--note={value}"] } }
`;

function labOf(config: Config, profile: ChosenProfile, size = 'gpu', image = 'example.org/r:1') {
  const { pod, envSecret } = buildWith(config, { size, image, profile, overlays: ['a'] });
  const secret = Object.entries(envSecret.data ?? {}).map(
    ([name, value]) => [name, Buffer.from(value, 'base64').toString()] as const,
  );
  return { spec: pod.spec, env: Object.fromEntries(secret) as Record<string, string> };
}

describe('the settings of a profile', () => {
  const config = configWith(CHOICES);

  it('are laid over those of the overlays, of the size and of the image, those of its choices last, in the order of the options', () => {
    const options = { note: { writeIn: 'hello' }, place: { choice: 'here' } };
    const { env, spec } = labOf(config, { name: 'r', options });
    expect(env).toMatchObject({ TEAM: 'a', SIZE: 'gpu', R: '1', PROFILE: 'r', PLACE: 'here', NOTE: '<hello>' });
    expect(env['WHO']).toBe('written');
    expect(spec?.containers[0]?.args).toEqual(['start', '--note=hello']);
    expect(spec?.nodeSelector).toEqual({ pool: 'gpu' });
    expect(labOf(config, { name: 'r', options: { place: { choice: 'here' } } }).env['WHO']).toBe('choice');
    expect(labOf(config, { name: 'r', options: { place: { choice: 'there' } } }).spec?.nodeSelector).toEqual({
      pool: 'there',
    });
  });

  it('are as they are by now, and nothing where a profile, an option or a choice is not there any more', () => {
    const all = labOf(config, { name: 'r', options: {} });
    expect(labOf(config, { name: 'r', options: { place: { choice: 'gone' }, gone: { choice: 'x' } } })).toEqual(all);
    expect(labOf(config, { name: 'gone', options: {} }).env).not.toHaveProperty('PROFILE');
    expect(labOf(config, { name: 'r', options: { place: { writeIn: 'x' }, note: { repository: 'x' } } })).toEqual(all);
  });

  it('come without those of a size where the profile says itself what the lab has', () => {
    const { env, spec } = labOf(config, { name: 'r', options: {}, ownSize: true });
    expect(env).not.toHaveProperty('SIZE');
    expect(spec?.nodeSelector).toBeUndefined();
  });
});

describe('profiles', () => {
  it('are none where the configuration has none', () => {
    expect(configWith('[]').lab.profiles).toEqual([]);
  });

  it.each([
    [
      'two of one name',
      '[{ name: a }, { name: a }]',
      'lab.profiles[1].name: expected another name: "a" is already there',
    ],
    [
      'two that are chosen beforehand',
      '[{ name: a, default: true }, { name: b, default: true }]',
      'lab.profiles[1].default: expected one default: another has it',
    ],
    ['a size there is not', '[{ name: a, size: big }]', 'lab.profiles[0].size: expected one of the sizes: small, gpu'],
    [
      'a size there is not, of a choice',
      '[{ name: a, options: { s: { choices: [{ name: x, size: big }] } } }]',
      'lab.profiles[0].options.s.choices[0].size: expected one of the sizes: small, gpu',
    ],
    [
      'an image without a tag',
      '[{ name: a, image: a/b }]',
      'lab.profiles[0].image: expected an image with a tag or a digest, such as registry.example.com/name:1',
    ],
    [
      'a request above the limit',
      '[{ name: a, cpu: 1, cpuRequest: 2 }]',
      'lab.profiles[0].cpuRequest: expected no more than cpu, the limit',
    ],
    [
      'an option that asks nothing',
      '[{ name: a, options: { s: {} } }]',
      'lab.profiles[0].options.s: expected choices, writeIn or repository',
    ],
    [
      'a choice called as the form calls a write-in',
      '[{ name: a, options: { s: { choices: [{ name: unlisted-choice }] } } }]',
      'lab.profiles[0].options.s.choices[0].name: expected another name: the form of labs uses this one itself',
    ],
    [
      'a write-in that changes nothing',
      '[{ name: a, options: { s: { writeIn: {} } } }]',
      'lab.profiles[0].options.s.writeIn: expected image, or lab with {value} in it: what is written would change nothing',
    ],
    [
      'a pattern of Python',
      '[{ name: a, options: { s: { writeIn: { image: "{value}", pattern: "(?P<x>a)" } } } }]',
      'lab.profiles[0].options.s.writeIn.pattern: expected a regular expression of JavaScript: (?P<name>…), \\A and \\Z are of Python alone',
    ],
    [
      'a pattern that closes what it did not open',
      '[{ name: a, options: { s: { writeIn: { image: "{value}", pattern: "a)|(b" } } } }]',
      'lab.profiles[0].options.s.writeIn.pattern: expected a regular expression of JavaScript',
    ],
    [
      'an image that nothing is written into',
      '[{ name: a, options: { s: { writeIn: { image: "a:1" } } } }]',
      'lab.profiles[0].options.s.writeIn.image: expected {value} in it, which stands for what is written',
    ],
    [
      'a volume that is not there',
      '[{ name: a, lab: { volumeMounts: [{ name: x, mountPath: /x }] } }]',
      'lab.profiles[0].lab.volumeMounts: expected a volume, and lab.volumes has none',
    ],
    [
      'an unknown placeholder of a choice',
      '[{ name: a, options: { s: { choices: [{ name: x, lab: { env: { A: "{user}" } } }] } } }]',
      expect.stringMatching(/^lab\.profiles\[0\]\.options\.s\.choices\[0\]\.lab\.env: \{user\} is not known/),
    ],
    [
      'KubeSpawner’s names',
      '[{ name: a, kubespawner_override: {} }]',
      'lab.profiles[0].kubespawner_override: unknown key: what it sets is image, size, cpu, memory and lab here',
    ],
    [
      'a word that is misspelt',
      '[{ name: a, descripton: A }]',
      'lab.profiles[0].descripton: unknown key: did you mean description?',
    ],
    [
      'what belongs elsewhere',
      '[{ name: a, lab: { spawnTimeout: 1m } }]',
      'lab.profiles[0].lab.spawnTimeout: unknown key: it belongs into lab',
    ],
  ])('are refused for %s', (_, profiles, problem) => {
    expect(problemsOf(profiles)).toContainEqual(problem);
  });

  it('may ask for no more than the Pod Security that is written', () => {
    const choice = '{ name: x, lab: { volumes: [{ name: v, hostPath: { path: /x } }] } }';
    expect(problemsOf(`[{ name: a, options: { s: { choices: [${choice}] } } }]`, 'podSecurity: baseline')).toEqual([
      'lab.profiles[0].options.s.choices[0].lab.volumes: expected nothing that needs lab.podSecurity: privileged, which is set to baseline',
    ]);
  });

  it('are checked one choice over the other as they are chosen beforehand', () => {
    const mount = (name: string) => `{ name: ${name}, lab: { volumeMounts: [{ name: v, mountPath: /etc/motd }] } }`;
    const file = '{ name: f, lab: { files: { /etc/motd: hello } } }';
    const volumes = 'volumes: [{ name: v, emptyDir: {} }]';
    expect(
      problemsOf(`[{ name: a, options: { s: { choices: [${file}] }, t: { choices: [${mount('m')}] } } }]`, volumes),
    ).toEqual([
      'lab.profiles[0].options.t.choices[0].lab.volumeMounts: expected another path: /etc/motd is already taken',
    ]);
    expect(
      problemsOf(
        `[{ name: a, options: { s: { choices: [{ name: n }, ${file}] }, t: { choices: [${mount('m')}] } } }]`,
        volumes,
      ),
    ).toEqual([]);
  });

  it('put what is written in nowhere near paths and names', () => {
    const writeIn = '{ image: "{value}", lab: { volumes: [{ name: v, nfs: { server: nfs, path: "/{value}" } }] } }';
    expect(problemsOf(`[{ name: a, options: { s: { writeIn: ${writeIn} } } }]`)).toContainEqual(
      expect.stringMatching(/^lab\.profiles\[0\]\.options\.s\.writeIn\.lab\.volumes: expected no \{value\} here/),
    );
    expect(problemsOf('[{ name: a, lab: { env: { A: "{value}" } } }]')).toContainEqual(
      expect.stringMatching(/^lab\.profiles\[0\]\.lab\.env: \{value\} is not known/),
    );
    expect(
      problemsOf('[{ name: a, options: { s: { writeIn: { lab: { extraLabels: { tag: "{value}" } } } } } }]'),
    ).toEqual([]);
  });
});

describe('the pattern of what is written in', () => {
  it('is matched from the first character to the last', () => {
    expect(matchesPattern('a+|b+', 'aaa')).toBe(true);
    expect(matchesPattern('a+|b+', 'aab')).toBe(false);
    expect(matchesPattern('^.+:.+$', 'quay.io/a/b:c')).toBe(true);
    expect(matchesPattern('.+:.+', 'a:b\nc')).toBe(false);
  });

  it('that takes too long over a text does not match, and ends', () => {
    expect(matchesPattern('(a+)+', `${'a'.repeat(500)}!`)).toBe(false);
    expect(matchesPattern('(a+)+', 'a'.repeat(500))).toBe(true);
    expect(matchesPattern('a+', 'a'.repeat(513))).toBe(false);
  });

  it.each([
    ['(a+)+', true],
    ['(?:[a-z]+)*:x', true],
    ['^.+:.+$', false],
    ['[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9._-]+)+:.+', false],
  ])('is judged beforehand: %s', (pattern, isSlow) => {
    expect(isSlowPattern(pattern)).toBe(isSlow);
  });

  it.each([
    ['^.+:.+$', '^.+:.+$'],
    ['[a-z0-9._-]+', '[a-z0-9._\\-]+'],
    ['[\\w./-]+:[^\\s(]+', '[\\w.\\/\\-]+:[^\\s\\(]+'],
    ['[^]]', undefined],
    ['[', undefined],
  ])('is written for browsers: %s', (pattern, html) => {
    expect(htmlPattern(pattern)).toBe(html);
  });
});
