import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { labTokens, LabTokens, type LabTokenKeys } from '../../src/auth/keys/lab-tokens.ts';
import { buildConfig, type ConfigInput } from '../../src/config/index.ts';
import { TestKeys } from '../reconcile/support/tokens.ts';

const NOW = 1_795_000_000_500;

function config(token: NonNullable<ConfigInput['lab']['token']>, more: Partial<ConfigInput> = {}) {
  return buildConfig({
    baseUrl: 'https://hub.example.org/',
    auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
    images: { list: [{ reference: 'example.org/lab:1' }] },
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }], token },
    ...more,
  });
}

const rachel = { username: 'rachel', servername: 'gpu', groups: ['astronomers', 'lunatics'] };

describe('the token of a lab', () => {
  it('says whose it is, who made it, who may accept it and until when, and nothing else', async () => {
    const keys = await TestKeys.make();
    const tokens = new LabTokens(config({ source: 'signed', lifetime: '30m' }), keys, () => NOW);
    const { token, issuedAt } = await tokens.mint(rachel);
    expect(issuedAt).toBe(NOW);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: keys.signing.current().kid });
    expect(decodeJwt(token)).toEqual({
      iss: 'https://hub.example.org/labwright',
      sub: 'rachel',
      aud: 'https://hub.example.org',
      iat: 1_795_000_000,
      exp: 1_795_001_800,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      labwright_server: 'gpu',
      groups: ['astronomers', 'lunatics'],
    });
    expect((await keys.verify(token, 10 ** 9)).sub).toBe('rachel');
  });

  it('is another each time', async () => {
    const tokens = new LabTokens(config({ source: 'signed' }), await TestKeys.make());
    const ids = await Promise.all(
      Array.from({ length: 50 }, async () => decodeJwt((await tokens.mint(rachel)).token).jti),
    );
    expect(new Set(ids).size).toBe(50);
  });

  it.each([
    [['https://data.example.org'], 'https://data.example.org'],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
  ])('is for the audience %j that is configured', async (audience, aud) => {
    const tokens = new LabTokens(config({ source: 'signed', audience }), await TestKeys.make());
    expect(decodeJwt((await tokens.mint(rachel)).token).aud).toEqual(aud);
  });

  it('names an issuer without a prefix where there is none', async () => {
    const tokens = new LabTokens(config({ source: 'signed' }, { pathPrefix: '' }), await TestKeys.make());
    expect(decodeJwt((await tokens.mint(rachel)).token).iss).toBe('https://hub.example.org');
  });

  it('is signed only where the configuration asks for it', async () => {
    const keys = await TestKeys.make();
    expect(labTokens(config({}), keys)).toBeUndefined();
    expect(labTokens(config({ source: 'none' }), keys)).toBeUndefined();
    expect(labTokens(config({ source: 'signed', lifetime: '10m' }), keys)?.lifetime).toBe(600_000);
  });

  it('is promised to nobody while there are no keys', async () => {
    const keys: LabTokenKeys = { signing: (await TestKeys.make()).signing, ready: () => new Promise(() => undefined) };
    const tokens = new LabTokens(config({ source: 'signed' }), keys);
    await expect(tokens.ready(10)).rejects.toMatchObject({ code: 'not_ready', status: 503, retryAfter: 30 });
  });
});
