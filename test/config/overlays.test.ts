import { describe, expect, it } from 'vitest';
import { findOverlays, mergeLab, parseConfig } from '../../src/config/index.ts';
import { buildWith, configWithLab } from '../builder/cases.ts';
import type { Config, ConfigError } from '../../src/config/index.ts';

const SMALL = '[{ name: small, cpu: 1, memory: 3Gi }]';

function configWith(overlays: string, lab = '', sizes = SMALL, image = ''): Config {
  return parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1", ${image} }] }
lab:
  sizes: ${sizes}
${lab.replaceAll(/^/gm, '  ')}
overlays:
${overlays.trim().replaceAll(/^/gm, '  ')}
`);
}

function problemsOf(...config: Parameters<typeof configWith>): string[] {
  try {
    configWith(...config);
    return [];
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const COURSE = `
- name: course
  match: { groups: [physics] }
  lab:
    env: { COURSE: physics, GREETING: "hello {username}" }
    volumes: [{ name: shared, nfs: { server: nfs, path: /physics } }]
    volumeMounts: [{ name: shared, mountPath: /course, readOnly: true }]
    nodeSelector: { pool: physics }
    tolerations: [{ key: physics, operator: Exists }]
- name: admins
  match: { admin: true, users: [grace] }
  lab:
    volumeMounts: [{ name: shared, mountPath: /course }]
    env: { GREETING: "welcome" }
`;
const BASE =
  'volumes: [{ name: shared, nfs: { server: nfs, path: /all } }]\nenv: { PLACE: lab }\ntolerations: [{ key: labs, operator: Exists }]';

describe('the overlays of a user', () => {
  const config = configWith(COURSE, BASE);
  const of = (username: string, groups: string[], admin: boolean | null = null) =>
    findOverlays(config.overlays, { username, groups: groups.map((name) => ({ name })), admin });

  it('are those of the groups, of the user and of administrators, in their order', () => {
    expect(of('ada', [])).toEqual([]);
    expect(of('ada', ['physics', 'chess'])).toEqual(['course']);
    expect(of('grace', ['physics'])).toEqual(['course', 'admins']);
    expect(of('ada', [], true)).toEqual(['admins']);
    expect(of('ada', [], false)).toEqual([]);
    expect(findOverlays(config.overlays, { username: 'constructor', groups: null, admin: null })).toEqual([]);
  });

  it('are laid over the settings of all, one over the other', () => {
    const objects = buildWith(config, { overlays: ['course', 'admins'] });
    const { spec } = objects.pod;
    const [lab] = spec?.containers ?? [];
    const env = Object.fromEntries(
      Object.entries(objects.envSecret.data ?? {}).map(([name, value]) => [
        name,
        Buffer.from(value, 'base64').toString(),
      ]),
    );
    expect(env).toMatchObject({ PLACE: 'lab', COURSE: 'physics', GREETING: 'welcome' });
    expect(spec?.volumes?.[0]).toEqual({ name: 'shared', nfs: { server: 'nfs', path: '/physics' } });
    expect(lab?.volumeMounts?.filter(({ mountPath }) => mountPath === '/course')).toEqual([
      { name: 'shared', mountPath: '/course' },
    ]);
    expect(spec?.nodeSelector).toEqual({ pool: 'physics' });
    expect(spec?.tolerations?.map(({ key }) => key)).toEqual(['labs', 'physics']);
    expect(objects.namespace?.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'baseline' });
  });

  it('have the user in their values, and leave other labs as they are', () => {
    const envOf = (overlays: string[]) =>
      Buffer.from(buildWith(config, { overlays }).envSecret.data?.['GREETING'] ?? '', 'base64').toString();
    expect(envOf(['course'])).toBe('hello rachel');
    expect(envOf([])).toBe('');
    expect(buildWith(config).pod.spec?.nodeSelector).toBeUndefined();
  });

  it('that are not there any more change nothing', () => {
    expect(buildWith(config, { overlays: ['gone'] }).pod.spec).toEqual(buildWith(config).pod.spec);
  });
});

describe('the settings of a size and of an image', () => {
  const config = parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images:
  list:
    - { reference: "example.org/r:1", sizes: [gpu], lab: { args: [rstudio], env: { WHO: image }, initContainers: [{ name: i, image: i }] } }
    - { reference: "example.org/lab:1" }
lab:
  sizes:
    - { name: small, cpu: 1, memory: 3Gi }
    - { name: gpu, cpu: 1, memory: 3Gi, lab: { nodeSelector: { pool: gpu }, env: { WHO: size, GPU: "1" } } }
overlays: [{ name: a, match: { groups: [a] }, lab: { env: { WHO: overlay, TEAM: a } } }]
`);
  const specOf = (changes: Parameters<typeof buildWith>[1]) => {
    const { pod, envSecret } = buildWith(config, changes);
    const env = Object.entries(envSecret.data ?? {}).map(([name, value]) => [
      name,
      Buffer.from(value, 'base64').toString(),
    ]);
    return { spec: pod.spec, env: Object.fromEntries(env) as Record<string, string> };
  };

  it('are laid over those of users, those of the image last', () => {
    const { spec, env } = specOf({ size: 'gpu', overlays: ['a'] });
    expect(spec?.nodeSelector).toEqual({ pool: 'gpu' });
    expect(spec?.containers[0]?.args).toEqual(['rstudio']);
    expect(spec?.initContainers?.map(({ name }) => name)).toEqual(['i']);
    expect(env).toMatchObject({ WHO: 'image', GPU: '1', TEAM: 'a' });
  });

  it('are those of the size that was chosen', () => {
    const { spec, env } = specOf({ size: 'small', overlays: ['a'] });
    expect(spec?.nodeSelector).toBeUndefined();
    expect(env).not.toHaveProperty('GPU');
  });

  it('are checked as the others are', () => {
    const wrong = `
- { name: a, match: { groups: [a] }, lab: {} }`;
    const sizes = (lab: string) => problemsOf(wrong, '', `[{ name: small, cpu: 1, memory: 3Gi, lab: ${lab} }]`);
    expect(sizes('{ env: { A: "{user}" } }')).toContainEqual(
      expect.stringMatching(/^lab\.sizes\[0\]\.lab\.env: \{user\} is not known/),
    );
    expect(sizes('{ volumeMounts: [{ name: x, mountPath: /x }] }')).toEqual([
      'lab.sizes[0].lab.volumeMounts: expected a volume, and lab.volumes has none',
    ]);
    expect(sizes('{ spawnTimeout: 1m }')).toEqual(['lab.sizes[0].lab.spawnTimeout: unknown key: it belongs into lab']);
  });

  it('name sizes that there are', () => {
    expect(problemsOf('- { name: a, match: { groups: [a] }, lab: {} }', '', undefined, 'sizes: [big]')).toEqual([
      'images.list[0].sizes[0]: expected one of the sizes: small',
    ]);
  });
});

describe('Pod Security', () => {
  it('becomes what an overlay asks for, and no stricter', () => {
    const { lab } = configWithLab('podSecurity: baseline');
    const over = { volumes: [{ name: 'node', hostPath: { path: '/data' } }] };
    expect(mergeLab(lab, over).podSecurity).toBe('privileged');
    expect(mergeLab(lab, {}).podSecurity).toBe('baseline');
  });
});

describe('an overlay that cannot be used', () => {
  it.each([
    ['matches nobody', '- { name: a, match: {}, lab: {} }', 'overlays[0].match: expected groups, users or admin'],
    [
      'has a key that holds for all labs',
      '- { name: a, match: { admin: true }, lab: { spawnTimeout: 1m } }',
      'overlays[0].lab.spawnTimeout: unknown key: it belongs into lab at the top of the file, for everybody',
    ],
    [
      'mounts what is not there',
      '- { name: a, match: { admin: true }, lab: { volumeMounts: [{ name: x, mountPath: /x }] } }',
      'overlays[0].lab.volumeMounts: expected a volume, and lab.volumes has none',
    ],
    [
      'asks for more than Pod Security may be',
      '- { name: a, match: { admin: true }, lab: { volumes: [{ name: v, hostPath: { path: /v } }] } }',
      'overlays[0].lab.volumes: expected nothing that needs lab.podSecurity: privileged, which is set to restricted',
    ],
    [
      'has a placeholder that nobody knows',
      '- { name: a, match: { admin: true }, lab: { env: { A: "{user}" } } }',
      expect.stringMatching(/^overlays\[0\]\.lab\.env: \{user\} is not known/),
    ],
    [
      'is called as another',
      '- { name: a, match: { admin: true }, lab: {} }\n- { name: a, match: { admin: true }, lab: {} }',
      'overlays[1].name: expected another name: "a" is already there',
    ],
  ])('since it %s', (_, overlays, problem) => {
    expect(problemsOf(overlays, 'podSecurity: restricted')).toContainEqual(problem);
  });

  it('is told once, where two of them clash', () => {
    const volumes = 'volumes: [{ name: v, emptyDir: {} }, { name: w, emptyDir: {} }]';
    const clash = `
- { name: a, match: { users: [a] }, lab: { files: { /etc/x: one } } }
- { name: b, match: { users: [a] }, lab: { volumeMounts: [{ name: v, mountPath: /etc/x }] } }
`;
    expect(problemsOf(clash, volumes)).toEqual([
      'overlays[1].lab.volumeMounts: expected another path: /etc/x is already taken',
    ]);
  });
});
