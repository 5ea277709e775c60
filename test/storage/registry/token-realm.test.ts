import { describe, expect, it } from 'vitest';
import { belongsTo, readRealm } from '../../../src/storage/registry/token-realm.ts';

const belongs = (host: string, realm: string, tokenHosts: string[] = []) =>
  belongsTo(new URL(realm), { hosts: [host], tokenHosts });

describe('a token server', () => {
  it.each([
    ['registry-1.docker.io', 'https://auth.docker.io/token'],
    ['quay.io', 'https://quay.io/v2/auth'],
    ['ghcr.io', 'https://ghcr.io/token'],
    ['gcr.io', 'https://gcr.io/v2/token'],
    ['europe-docker.pkg.dev', 'https://europe-docker.pkg.dev/v2/token'],
    ['labs.azurecr.io', 'https://labs.azurecr.io/oauth2/token'],
    ['nvcr.io', 'https://nvcr.io/proxy_auth'],
    ['registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
    ['registry.example.com', 'https://gitlab.example.com/jwt/auth'],
    ['registry.gitlab.example.com', 'https://gitlab.example.com/jwt/auth'],
    ['gitlab.example.com:5050', 'https://gitlab.example.com/jwt/auth'],
    ['harbor.example.com', 'https://harbor.example.com/service/token'],
    ['registry.digitalocean.com', 'https://api.digitalocean.com/v2/registry/auth'],
    ['registry.cn-hangzhou.aliyuncs.com', 'https://dockerauth.cn-hangzhou.aliyuncs.com/auth'],
    ['registry.abc.de', 'https://auth.abc.de/token'],
    ['registry.example.ac.uk', 'https://auth.example.ac.uk/token'],
    ['harbor-registry.harbor.svc:5000', 'http://harbor-core.harbor.svc/service/token'],
    ['localhost:5000', 'http://localhost:5001/auth'],
    ['127.0.0.1:5000', 'http://127.0.0.1:5001/auth'],
    ['[::1]:5000', 'http://[::1]:5001/auth'],
    ['Registry.Example.com', 'https://GITLAB.example.COM/jwt/auth'],
  ])('belongs to %s: %s', (host, realm) => {
    expect(belongs(host, realm)).toBe(true);
  });

  it.each([
    ['quay.io', 'https://ghcr.io/token'],
    ['registry.example.com', 'https://example.org/token'],
    ['registry.example.com', 'https://badexample.com/token'],
    ['registry.example.com', 'https://example.com.evil.org/token'],
    ['registry.k8s.example.com', 'https://sso.example.com/token'],
    ['example.co.uk', 'https://evil.co.uk/token'],
    ['example.ac.uk', 'https://ac.uk/token'],
    ['example.com', 'https://evil.com/token'],
    ['registry', 'https://evil/token'],
    ['10.0.0.1', 'http://10.0.0.2/token'],
    ['10.0.0.1', 'http://0.0.1/token'],
    ['[fd00::1]', 'http://[fd00::2]/token'],
    ['registry-1.docker.io', 'https://docker.io.evil.org/token'],
    ['not a host', 'https://evil.org/token'],
  ])('does not belong to %s: %s', (host, realm) => {
    expect(belongs(host, realm)).toBe(false);
  });

  it('belongs to a registry whose administrator has named it, whatever its port, and nothing below it', () => {
    expect(belongs('registry.k8s.example.com', 'https://sso.example.com:8443/token', ['sso.example.com'])).toBe(true);
    expect(belongs('registry.k8s.example.com', 'https://a.sso.example.com/token', ['sso.example.com'])).toBe(false);
  });

  it.each([
    'http://r.example/token',
    'https://u@r.example/token',
    'https://u:p@r.example/',
    'ftp://r.example/',
    '',
    '/t',
  ])('is not asked at %o where all is encrypted', (realm) => {
    expect(readRealm({ scheme: 'bearer', parameters: { realm } }, false)).toBeUndefined();
  });

  it('may be asked in plain text where the registry is', () => {
    expect(readRealm({ scheme: 'bearer', parameters: { realm: 'http://r.example/t' } }, true)?.href).toBe(
      'http://r.example/t',
    );
  });
});
