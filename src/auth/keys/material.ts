import { calculateJwkThumbprint, type CryptoKey, exportJWK, generateKeyPair, importJWK } from 'jose';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { RingKey } from './keyset.ts';

export const SIGNING_ALGORITHM = 'ES256';
const SEALING_KEY_BYTES = 32;
/** More than any keyset ever holds: a list beyond that was not written by us. */
const MOST_KEYS = 32;

const base64url = z.string().regex(/^[\w-]+$/);
const privateJwk = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: base64url,
  y: base64url,
  d: base64url,
});
type PrivateJwk = z.output<typeof privateJwk>;

/** A key that lab tokens are signed with. */
export interface SigningKey extends RingKey {
  readonly jwk: PrivateJwk;
  readonly privateKey: CryptoKey;
}

/** A key that sessions are encrypted with: 256 bits. */
export interface SealingKey extends RingKey {
  readonly key: Uint8Array;
}

export interface Keysets {
  readonly signing: readonly SigningKey[];
  readonly sealing: readonly SealingKey[];
}

/** Where each keyset is in the stored data. */
const RING_FILES = { signing: 'signing.json', sealing: 'sealing.json' } as const;

/** What is stored cannot be read as keys. The message names the place and nothing of its content. */
export class DamagedKeys extends Error {
  override readonly name = 'DamagedKeys';
}

export async function makeSigningKey(times: Omit<RingKey, 'kid'>): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const jwk = privateJwk.parse(await exportJWK(privateKey));
  return { ...times, kid: await calculateJwkThumbprint(jwk), jwk, privateKey };
}

export function makeSealingKey(times: Omit<RingKey, 'kid'>): SealingKey {
  return { ...times, kid: randomBytes(16).toString('base64url'), key: randomBytes(SEALING_KEY_BYTES) };
}

/** The part of a signing key that everybody may know, as it stands in a JWK set. */
export function publicJwk({ kid, jwk: { kty, crv, x, y } }: SigningKey) {
  return { kty, crv, x, y, kid, alg: SIGNING_ALGORITHM, use: 'sig' };
}

const time = z.iso.datetime().transform((text) => Date.parse(text));
const times = {
  kid: z.string().regex(/^[\w-]{1,64}$/),
  publishedAt: time,
  activeFrom: time,
  lifetimeMs: z.number().nonnegative(),
};
const signingFile = z
  .array(z.strictObject({ ...times, jwk: privateJwk }))
  .min(1)
  .max(MOST_KEYS);
const sealingFile = z
  .array(z.strictObject({ ...times, key: base64url }))
  .min(1)
  .max(MOST_KEYS);

/** The keysets as they are stored, by file. */
export function writeKeysets({ signing, sealing }: Keysets): Record<string, string> {
  return {
    [RING_FILES.signing]: JSON.stringify(signing.map((key) => ({ ...writeTimes(key), jwk: key.jwk }))),
    [RING_FILES.sealing]: JSON.stringify(
      sealing.map((key) => ({ ...writeTimes(key), key: Buffer.from(key.key).toString('base64url') })),
    ),
  };
}

/** @throws {DamagedKeys} */
export async function readKeysets(data: Readonly<Record<string, string>>): Promise<Keysets> {
  const signing = await Promise.all(
    readFile(data, RING_FILES.signing, signingFile).map(async ({ jwk, lifetimeMs, ...key }) => ({
      ...key,
      lifetime: lifetimeMs,
      jwk,
      privateKey: await importKey(jwk),
    })),
  );
  const sealing = readFile(data, RING_FILES.sealing, sealingFile).map(({ key, lifetimeMs, ...rest }) => {
    const bytes = new Uint8Array(Buffer.from(key, 'base64url'));
    if (bytes.length !== SEALING_KEY_BYTES)
      throw new DamagedKeys(`${RING_FILES.sealing} holds a key of another length`);
    return { ...rest, lifetime: lifetimeMs, key: bytes };
  });
  return { signing, sealing };
}

function writeTimes({ kid, publishedAt, activeFrom, lifetime }: RingKey) {
  const iso = (at: number) => new Date(at).toISOString();
  return { kid, publishedAt: iso(publishedAt), activeFrom: iso(activeFrom), lifetimeMs: lifetime };
}

/** What a parser says of a text may quote it, so it is not passed on. */
function readFile<T>(data: Readonly<Record<string, string>>, file: string, schema: z.ZodType<T>): T {
  const text = data[file];
  if (text === undefined) throw new DamagedKeys(`${file} is missing`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DamagedKeys(`${file} is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new DamagedKeys(`${file} is not a list of keys${path === '' ? '' : `, at ${path}`}`);
}

async function importKey(jwk: PrivateJwk): Promise<CryptoKey> {
  try {
    const key = await importJWK(jwk, SIGNING_ALGORITHM);
    if (!(key instanceof Uint8Array)) return key;
  } catch {
    // What it says of the key is not passed on.
  }
  throw new DamagedKeys(`${RING_FILES.signing} holds a key that is none`);
}
