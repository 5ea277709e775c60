import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OciRegistry } from '../../../../src/storage/registry/image-registry.ts';
import { sayNotRun } from '../../docker-engine/support/podman.ts';
import { makeRegistry, type RegistryOptions } from '../image-registry.ts';
import { DockerRegistry, HTPASSWD, whyNoDockerRegistry } from './docker-registry.ts';
import { Pushing } from './pushing.ts';
import { TokenServer } from './token-server.ts';

if (whyNoDockerRegistry !== undefined) sayNotRun('reading a real registry', whyNoDockerRegistry);

const { signal } = new AbortController();
const NAME = 'labs/science';
const { username, password } = HTPASSWD;

async function allTags(registry: OciRegistry): Promise<string[]> {
  return (await registry.listTags(NAME, signal)).toSorted();
}

/** Does something with a reader of its own. */
async function reading<T>(
  { host, url }: DockerRegistry,
  work: (registry: OciRegistry) => Promise<T>,
  options: Partial<RegistryOptions> = {},
): Promise<T> {
  const { registry } = makeRegistry({ host, url, ...options });
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}

describe.skipIf(whyNoDockerRegistry !== undefined)('a real registry', () => {
  let server: DockerRegistry;
  let pushing: Pushing;
  const tags = Array.from({ length: 1_000 }, (_, at) => `d_2076_${String(at).padStart(4, '0')}`);

  beforeAll(async () => {
    server = await DockerRegistry.start();
    pushing = new Pushing(server.url, NAME);
    await pushing.tag(tags, 'one image');
  });
  afterAll(async () => {
    await pushing.close();
    await server.close();
  });

  it('has all its tags listed, though it knows no pages and no order', async () => {
    expect(await reading(server, (registry) => allTags(registry))).toEqual(tags);
  });

  it('has the digest, size and architecture of an image, and says when its tag has moved and when it is gone', async () => {
    await reading(server, async (registry) => {
      const first = await pushing.image('moving', 'first');
      const found = await registry.findImage(NAME, 'moving', { signal });
      expect(found).toEqual({ digest: first, size: 'first'.length, architectures: ['amd64'] });
      expect(await registry.findImage(NAME, 'moving', { signal, known: found ?? undefined })).toBe(found);
      const second = await pushing.image('moving', 'another', 'arm64');
      expect(await registry.findImage(NAME, 'moving', { signal, known: found ?? undefined })).toEqual({
        ...{ digest: second, size: 'another'.length, architectures: ['arm64'] },
      });
      expect(await registry.findImage(NAME, first, { signal })).toEqual(found);
      await pushing.remove(second);
      expect(await registry.findImage(NAME, 'moving', { signal, known: found ?? undefined })).toBeNull();
      expect(await registry.listTags(NAME, signal)).not.toContain('moving');
    });
  });

  it('has images of several architectures', async () => {
    const digest = await pushing.index('multi', ['arm64', 'amd64'], 'both');
    expect(await reading(server, (registry) => registry.findImage(NAME, 'multi', { signal }))).toEqual({
      ...{ digest, size: 'both amd64'.length, architectures: ['arm64', 'amd64'] },
    });
    await pushing.remove(digest);
  });

  it('has no repository that nobody has pushed, nor an image in it', async () => {
    await reading(server, async (registry) => {
      await expect(registry.listTags('labs/none', signal)).rejects.toMatchObject({
        reason: 'RegistryRepositoryMissing',
      });
      expect(await registry.findImage('labs/none', '1', { signal })).toBeNull();
    });
  });

  it('is out of reach while it is down, and read when it is back', async () => {
    await reading(server, async (registry) => {
      const found = await registry.findImage(NAME, tags[0] ?? '', { signal });
      await server.stop();
      const problem = { reason: 'RegistryUnavailable', transient: true };
      await expect(registry.findImage(NAME, tags[0] ?? '', { signal })).rejects.toMatchObject(problem);
      await expect(registry.listTags(NAME, signal)).rejects.toMatchObject(problem);
      await server.resume();
      expect(await registry.findImage(NAME, tags[0] ?? '', { signal, known: found ?? undefined })).toBe(found);
      expect(await allTags(registry)).toEqual(tags);
    });
  });
});

describe.skipIf(whyNoDockerRegistry !== undefined)('a real registry that wants a name and a password', () => {
  it('is read with those that it takes, and with no others', async () => {
    const server = await DockerRegistry.start((folder) => `{ htpasswd: { realm: tests, path: "${folder}/htpasswd" } }`);
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const pushing = new Pushing(server.url, NAME, () => Promise.resolve(authorization));
    const digest = await pushing.image('1', 'words');
    const list = (auths: object) => reading(server, (registry) => registry.listTags(NAME, signal), { auths });
    const find = (auths: object) => reading(server, (registry) => registry.findImage(NAME, '1', { signal }), { auths });
    const right = { [server.host]: { username, password } };
    expect(await list(right)).toEqual(['1']);
    expect(await find(right)).toMatchObject({ digest });
    for (const auths of [{ [server.host]: { username, password: 'wrong' } }, {}]) {
      await expect(list(auths)).rejects.toMatchObject({ reason: 'RegistryDenied', transient: false });
      await expect(find(auths)).rejects.toMatchObject({ reason: 'RegistryDenied', transient: false });
    }
    await pushing.close();
    await server.close();
  });
});

describe.skipIf(whyNoDockerRegistry !== undefined)('a real registry that wants tokens', () => {
  it('is read on when a token is over earlier than it was said to be', async () => {
    const tokens = await TokenServer.start({ username, password, lifeS: 2 });
    const server = await DockerRegistry.start(() => tokens.auth);
    const pushing = new Pushing(server.url, NAME, () =>
      Promise.resolve(`Bearer ${tokens.token([`repository:${NAME}:pull,push`], 60)}`),
    );
    const tags = Array.from({ length: 60 }, (_, at) => `w_${100 + at}`);
    await pushing.tag(tags, 'one image');
    tokens.claimedLifeS = 3600;
    const auths = { [server.host]: { username, password } };
    await reading(
      server,
      async (registry) => {
        const began = performance.now();
        let answers = 0;
        // The registry refuses the first token at some moment in here, though it was said to last for an hour.
        while (tokens.server.seen.length < 3 && performance.now() - began < 15_000) {
          expect(await allTags(registry)).toEqual(tags);
          expect(await registry.findImage(NAME, 'w_100', { signal })).toMatchObject({ architectures: ['amd64'] });
          answers += 1;
        }
        expect(tokens.server.seen).toHaveLength(3);
        expect(answers).toBeGreaterThan(3);
      },
      { auths },
    );
    const wrong = { auths: { [server.host]: { username, password: 'wrong' } } };
    await expect(reading(server, (registry) => registry.listTags(NAME, signal), wrong)).rejects.toMatchObject({
      reason: 'RegistryDenied',
    });
    await pushing.close();
    await server.close();
    await tokens.close();
  });
});
