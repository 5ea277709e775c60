import pino from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { startRegistry, type SandboxRegistry } from '../../../sandbox/registry/index.ts';
import { pushImage } from '../../../sandbox/registry/push.ts';
import { RegistryClient } from '../../../src/storage/registry/registry-client.ts';
import { canary } from '../../support/canary.ts';

const PASSWORD = canary('sandbox-registry-password');
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function start(kind?: 'basic' | 'bearer'): Promise<{ registry: SandboxRegistry; client: RegistryClient }> {
  const access = kind === undefined ? {} : { access: { kind, username: 'ada', password: PASSWORD } };
  const registry = await startRegistry(access);
  const auths = { [registry.host]: { username: 'ada', password: PASSWORD } };
  const client = new RegistryClient({
    config: {
      host: registry.host,
      url: registry.url,
      insecure: true,
      timeout: 5_000,
      patience: 1,
      credentials: undefined,
    },
    credentials: () => Promise.resolve(JSON.stringify({ auths })),
    logger: pino({ level: 'silent' }),
    retryMs: 1,
  });
  closing.push(
    () => client.close(),
    () => registry.close(),
  );
  return { registry, client };
}

describe("an image in the sandbox's registry", () => {
  it.each([undefined, 'basic'] as const)('is there once it was pushed, with access %o', async (kind) => {
    const { registry, client } = await start(kind);
    const image = `${registry.host}/labs/ada--notebooks:1`;
    expect(await client.findDigest(image)).toBeNull();
    const authorization = `Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`;
    const digest = await pushImage(image, 'content', { authorization });
    expect(await client.findDigest(image)).toBe(digest);
    expect(await client.findDigest(image.replace(':1', `@${digest}`))).toBe(digest);
  });

  it('is asked for with tokens where the registry wants them', async () => {
    const { registry, client } = await start('bearer');
    expect(await client.findDigest(`${registry.host}/labs/a:1`)).toBeNull();
    expect(await client.findDigest(`${registry.host}/labs/b:1`)).toBeNull();
  });

  it('is not thought missing while the registry is down, and found when it is back', async () => {
    const { registry, client } = await start();
    const image = `${registry.host}/labs/a:1`;
    const digest = await pushImage(image, 'content');
    expect(await client.findDigest(image)).toBe(digest);
    for (const fault of [{ kind: 'down' }, { kind: 'status', status: 500 }] as const) {
      await registry.setFault(fault);
      await expect(client.findDigest(image)).rejects.toMatchObject({ reason: 'RegistryUnavailable', transient: true });
    }
    await registry.setFault(null);
    expect(await client.findDigest(image)).toBe(digest);
  });
});
