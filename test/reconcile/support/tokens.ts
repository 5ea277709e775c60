import { createLocalJWKSet, decodeJwt, type JWTPayload, jwtVerify } from 'jose';
import { LoadedKeys } from '../../../src/auth/keys/loaded-keys.ts';
import { makeSealingKey, makeSigningKey } from '../../../src/auth/keys/material.ts';
import { LabTokens } from '../../../src/auth/keys/lab-tokens.ts';
import type { Config } from '../../../src/config/index.ts';
import { Secrets } from '../../../src/storage/kubernetes/resources.ts';
import type { Setting } from './controller.ts';
import { aConfig, aKey } from './labs.ts';

export const RENEWED = 'labwright.dev/token-renewed';

/** A configuration that asks for signed tokens; it allows no such short lifetimes to anybody else. */
export function signedConfig(lifetime: number): Config {
  const config = aConfig();
  return { ...config, lab: { ...config.lab, token: { source: 'signed', lifetime } } };
}

/** Keys of this process alone, which a test may exchange for others. */
export class TestKeys {
  readonly #keys = new LoadedKeys(Date.now, () => undefined);

  static async make(): Promise<TestKeys> {
    const keys = new TestKeys();
    await keys.replace();
    return keys;
  }

  get signing() {
    return this.#keys.signing;
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  /** As when somebody has deleted the keys: what was signed before cannot be verified any more. */
  async replace(): Promise<void> {
    const now = Date.now();
    const times = { publishedAt: now, activeFrom: now, lifetime: 60_000 };
    this.#keys.load({ signing: [await makeSigningKey(times)], sealing: [makeSealingKey(times)] });
  }

  /**
   * The claims of a token that is good; throws for any other.
   *
   * @param clockTolerance seconds for which it may have expired; some, where a slow machine is not what the test is about
   */
  async verify(token: string, clockTolerance = 30): Promise<JWTPayload> {
    return (await jwtVerify(token, createLocalJWKSet(this.signing.jwks()), { clockTolerance })).payload;
  }

  tokens(config: Config): LabTokens {
    return new LabTokens(config, this);
  }
}

/** The token in the lab's Secret; undefined when there is none. */
export async function tokenIn(setting: Setting, key = aKey()): Promise<string | undefined> {
  const secret = await setting.client.get(Secrets, {
    namespace: setting.namespaceOf(key),
    name: setting.names(key).secret,
  });
  const token = secret?.data?.['token'];
  return token === undefined ? undefined : Buffer.from(token, 'base64').toString('utf8');
}

/** Names a token without showing it. */
export function idOf(token: string | undefined): string | undefined {
  return token === undefined ? undefined : decodeJwt(token).jti;
}

/** When the intent says that the token was renewed. */
export async function renewedAt(setting: Setting, key = aKey()): Promise<string | undefined> {
  const intent = await setting.client.get(Secrets, setting.intentRef(key));
  return intent?.metadata?.annotations?.[RENEWED];
}
