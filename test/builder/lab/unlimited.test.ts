import { describe, expect, it } from 'vitest';
import { type Config, ConfigError } from '../../../src/config/index.ts';
import { buildWith, configWithLab } from '../cases.ts';

function partsOf(config: Config, size?: string) {
  const { pod, envSecret, limitRange } = buildWith(config, size === undefined ? {} : { size });
  const lab = pod.spec!.containers[0]!;
  const told = Object.keys(envSecret.data ?? {}).filter((name) => name.endsWith('_LIMIT'));
  // The types of the client call `default` by another name.
  const [{ default: given } = {}] = (limitRange?.spec?.limits ?? []) as { default?: object }[];
  return { limits: lab.resources?.limits, requests: lab.resources?.requests, told, given };
}

describe('a lab without a limit', () => {
  const sizes =
    'sizes: [{ name: open, cpuRequest: 50m, memoryRequest: 256Mi, memory: 1Gi }, { name: free, cpuRequest: 1, memoryRequest: 1Gi }]';

  it('may use what its machine has left, and nothing else gives it one', () => {
    const open = partsOf(configWithLab(sizes), 'open');
    expect(open.limits).toEqual({ memory: '1Gi' });
    expect(open.requests).toEqual({ cpu: '50m', memory: '256Mi' });
    expect(open.told).toEqual(['MEM_LIMIT']);
    // A LimitRange would give one to whatever has none.
    expect(open.given).toEqual({ memory: '512Mi' });
    const free = partsOf(configWithLab(sizes), 'free');
    expect([free.limits, free.told]).toEqual([{}, []]);
    expect(free.given).toEqual({});
  });

  it('has that of its size where its user has a quota, which counts limits', () => {
    const config = { ...configWithLab(`unlimited: [cpu, memory]`), quotas: { groups: {}, users: {} } };
    expect(partsOf(config).limits).toEqual({});
    const quota = { cpu: 4, memory: 2 ** 33, spawn: true };
    const limited = partsOf({ ...config, quotas: { ...config.quotas, default: quota } });
    expect(limited.limits).toEqual({ cpu: '1', memory: '3Gi' });
    expect(limited.given).toEqual({ cpu: '500m', memory: '512Mi' });
  });

  it('has one where a profile names it, and none where it takes it away', () => {
    const config = configWithLab(`
${sizes}
profiles:
  - { name: limited, cpu: 2 }
  - { name: asked, memoryRequest: 2Gi }
  - { name: taken, cpu: 2, memory: 2Gi, options: { o: { choices: [{ name: c, lab: { unlimited: [memory] } }, { name: d, memory: 4Gi }] } } }
`);
    const limitsOf = (name: string, options = {}) => {
      const changes = { size: 'open', profile: { name, options, ownSize: true as const } };
      return buildWith(config, changes).pod.spec?.containers[0]?.resources?.limits;
    };
    expect(limitsOf('limited')).toEqual({ cpu: '2', memory: '1Gi' });
    // What the size has no limit of has none, whichever amounts the profile has of its own.
    expect(limitsOf('asked')).toEqual({ memory: '2Gi' });
    expect(limitsOf('taken', { o: { choice: 'c' } })).toEqual({ cpu: '2' });
    expect(limitsOf('taken', { o: { choice: 'd' } })).toEqual({ cpu: '2', memory: '4Gi' });
  });

  it('is told from a size of which too much is missing', () => {
    const faults = (size: string) => {
      try {
        configWithLab(`sizes: [{ name: small, ${size} }]`);
        return [];
      } catch (error) {
        return error instanceof ConfigError
          ? error.problems.map(({ path, message }) => `${path}: ${message}`)
          : [error];
      }
    };
    expect(faults('cpu: 1')).toEqual([expect.stringMatching(/^lab\.sizes\[0\]\.memory: missing: /)]);
    expect(faults('cpu: 1, cpuRequest: 2, memory: 1Gi')).toEqual([
      'lab.sizes[0].cpuRequest: expected no more than cpu, the limit',
    ]);
  });
});
