import { describe, expect, it } from 'vitest';
import { ConfigError, type ConfigInput, parseConfig, reloadConfig } from '../../src/config/index.ts';

const STARTED = {
  baseUrl: 'https://hub.example.org',
  auth: { proxyHeaders: { trustedAddresses: ['10.0.0.0/8'] } },
  images: { list: [{ reference: 'example.org/lab:1' }] },
  lab: { sizes: [{ name: 'small', cpu: 1, memory: '3Gi' }] },
} satisfies ConfigInput;

/** What a file of `STARTED` with these changes comes to. */
function reload(change: Partial<ConfigInput>, start: ConfigInput = STARTED) {
  const text = JSON.stringify(start);
  const config = parseConfig(text);
  const next = JSON.stringify({ ...start, ...change });
  return { before: config, ...reloadConfig(next, { name: 'config.yaml', started: { text, config }, current: config }) };
}

describe('a configuration file that has changed', () => {
  it('is used from now on, where all that has changed can change while running', () => {
    const { config, changed, atNextStart } = reload({
      images: { list: [{ reference: 'example.org/lab:2' }] },
      users: { defaults: { uid: 1000, gid: 100 } },
      limits: { labsPerUser: 3 },
      lab: { ...STARTED.lab, env: { COURSE: 'two' } },
    });
    expect(changed.toSorted()).toEqual(['images', 'lab', 'limits', 'users']);
    expect(atNextStart).toEqual([]);
    expect(config.images.list[0]?.reference).toBe('example.org/lab:2');
    expect(config.lab.env).toEqual({ COURSE: 'two' });
    expect(config.limits.labsPerUser).toBe(3);
  });

  it.each<[string, Partial<ConfigInput>]>([
    ['listen', { listen: { port: 9999 } }],
    ['baseUrl', { baseUrl: 'https://other.example.org' }],
    ['pathPrefix', { pathPrefix: '/labs' }],
    ['logLevel', { logLevel: 'debug' }],
    ['kubernetes', { kubernetes: { burst: 7 } }],
    ['leadership', { leadership: { leaseDuration: '20s' } }],
    ['auth', { auth: { proxyHeaders: { trustedAddresses: ['192.0.2.0/24'] } } }],
    ['builds', { builds: { registry: { host: 'registry.example.org' }, builder: { image: 'example.org/builder:1' } } }],
    ['limits.user', { limits: { user: { burst: 7 } } }],
    ['lab.token', { lab: { ...STARTED.lab, token: { source: 'signed' } } }],
    ['lab.namespaces', { lab: { ...STARTED.lab, namespaces: 'shared' } }],
  ])('says of %s that it takes effect at the next start, and uses the rest', (place, change) => {
    const images = { list: [{ reference: 'example.org/lab:2' }] };
    const { before, config, changed, atNextStart, isHeldBack } = reload({ ...change, images });
    expect(atNextStart).toEqual([place]);
    expect(changed).toEqual(['images']);
    expect(isHeldBack).toBe(false);
    expect(config).toEqual({ ...before, images: config.images });
  });

  it('is not used in part where that part would be no configuration', () => {
    const volumes = [{ name: 'home', persistentVolumeClaim: { claimName: 'homes' } }];
    const lab = { ...STARTED.lab, namespaces: 'shared' as const, volumes };
    const { before, config, changed, atNextStart, isHeldBack } = reload({ lab });
    expect(config).toBe(before);
    expect({ changed, atNextStart, isHeldBack }).toEqual({
      changed: [],
      atNextStart: ['lab.namespaces'],
      isHeldBack: true,
    });
  });

  it('keeps what was computed from what does not change before the next start', () => {
    const auth = { serviceAccounts: { hub: ['jupyterhub/hub'] } };
    const moved = { auth: { serviceAccounts: { hub: ['elsewhere/hub'] } } };
    const { config, changed, atNextStart } = reload(moved, { ...STARTED, auth });
    expect(config.lab.networkPolicy.hubNamespaces).toEqual(['jupyterhub']);
    expect(changed).toEqual([]);
    expect(atNextStart).toEqual(['auth']);
  });

  it('differs in nothing if only comments and order have changed', () => {
    const text = JSON.stringify(STARTED);
    const config = parseConfig(text);
    const options = { name: 'config.yaml', started: { text, config }, current: config };
    expect(reloadConfig(`# better\n${text}`, options)).toMatchObject({ changed: [], atNextStart: [] });
  });

  it('is refused with all that is wrong with it', () => {
    const broken = () => reload({ lab: { sizes: [] } });
    expect(broken).toThrow(ConfigError);
    expect(broken).toThrow('config.yaml cannot be used:\n  lab.sizes (line 1): ');
  });
});
