import { describe, expect, it } from 'vitest';
import { findOverlays, mergeLab, parseConfig } from '../../src/config/index.ts';
import { buildWith, configWithLab } from '../builder/cases.ts';
import type { Config, ConfigError } from '../../src/config/index.ts';

function configWith(overlays: string, lab = ''): Config {
  return parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab:
  sizes: [{ name: small, cpu: 1, memory: 3Gi }]
${lab.replaceAll(/^/gm, '  ')}
overlays:
${overlays.trim().replaceAll(/^/gm, '  ')}
`);
}

function problemsOf(overlays: string, lab?: string): string[] {
  try {
    configWith(overlays, lab);
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
    expect(objects.namespace.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'baseline' });
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
      'overlays[0].lab.spawnTimeout: unknown key',
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
