import { expect, it } from 'vitest';
import { RegistryHttp } from '../../../src/storage/registry/registry-http.ts';
import { RegistryTokens } from '../../../src/storage/registry/registry-tokens.ts';
import { ScriptedServer } from './scripted-registry.ts';

it('does not ask a token server in plain text when the registry is encrypted', async () => {
  const server = await ScriptedServer.start();
  const http = new RegistryHttp({ host: 'r.example', insecure: false, timeoutMs: 1_000 });
  const tokens = new RegistryTokens({
    http,
    host: 'r.example',
    insecure: false,
    realms: { hosts: ['127.0.0.1'], tokenHosts: [] },
  });
  const credential = { kind: 'password', username: 'ada', password: 'secret' } as const;
  const challenge = { scheme: 'bearer', parameters: { realm: `${server.url}/token` } };
  const { signal } = new AbortController();
  const token = tokens.renew({ challenge, repository: 'labs/a', credential, signal }, undefined);
  await expect(token).rejects.toMatchObject({ reason: 'RegistryUnavailable', transient: false });
  expect(server.seen).toEqual([]);
  await http.close();
  await server.close();
});
