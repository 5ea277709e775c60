import { describe, expect, it } from 'vitest';
import { buildConfig } from '../../src/config/index.ts';

function use(host: string, naming: object = {}) {
  return () =>
    buildConfig({
      baseUrl: 'https://hub.example.org',
      auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
      images: { list: [{ reference: 'registry.example/lab:1' }] },
      lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
      builds: { builder: { image: 'registry.example/builder:1' }, registry: { host }, naming },
    });
}

describe('Docker Hub as the registry of builds', () => {
  it.each(['index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com', 'hub.docker.com'])(
    'is not called %s',
    (host) => {
      expect(use(host, { prefix: 'ada/' })).toThrow('expected docker.io');
    },
  );

  it.each([
    {},
    { prefix: 'ada-' },
    { template: '{slug}-{key}' },
    { scheme: 'binderhub', prefix: 'ada-' },
    { prefix: 'ada/', template: '{slug}' },
  ])('has no names without an account: %j', (naming) => {
    expect(use('docker.io', naming)).toThrow('expected the account of Docker Hub');
  });

  it.each([{ prefix: 'ada/' }, { template: 'ada/{slug}' }, { scheme: 'binderhub', prefix: 'ada/binder-' }])(
    'has names with one: %j',
    (naming) => {
      expect(use('docker.io', naming)).not.toThrow();
      expect(use('registry.example')).not.toThrow();
    },
  );
});
