import { createHmac, randomBytes, sign } from 'node:crypto';
import { type CryptoKey, exportPKCS8, exportSPKI, importJWK } from 'jose';
import { canary } from '../../../support/canary.ts';
import type { TestKey } from './issuer.ts';

/** A part of a token: JSON of a value, or this very text. */
export function part(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** A token of exactly these parts, signed with the key as its algorithm asks, whatever the header says. */
export async function forge(header: unknown, claims: unknown, key: TestKey, hash = 'sha256'): Promise<string> {
  const input = `${part(header)}.${part(claims)}`;
  const pem = await exportPKCS8(key.privateKey);
  const options = key.alg.startsWith('ES') ? { key: pem, dsaEncoding: 'ieee-p1363' as const } : { key: pem };
  return `${input}.${sign(hash, Buffer.from(input), options).toString('base64url')}`;
}

/** A token of these parts with an HMAC over them. */
export function forgeHmac(header: unknown, claims: unknown, secret: string | Buffer): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

/** The public half as a PEM file has it. */
export async function publicPem({ jwk }: TestKey): Promise<string> {
  return exportSPKI((await importJWK(jwk)) as CryptoKey);
}

/** The JSON parts of a good token, to be changed. */
export function goodParts(issuer: string, key: TestKey) {
  const now = Math.floor(Date.now() / 1000);
  return {
    header: { alg: key.alg, kid: key.kid },
    claims: {
      iss: issuer,
      aud: 'labwright',
      iat: now,
      exp: now + 600,
      sub: 's',
      preferred_username: 'ada',
      planted: canary('forged'),
    },
    now,
  };
}

export const noise = (bytes: number) => randomBytes(bytes).toString('base64url');
