import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/** A private key and a certificate for it, both PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

const YEAR_MS = 365 * 86_400_000;
const ECDSA_WITH_SHA256 = '06082a8648ce3d040302';
const COMMON_NAME = '0603550403';

/**
 * A certificate that says no more than that it is one (RFC 5280), signed with its own key: an API server that is not told
 * which authority kubelets have takes any. Good for a year.
 */
export function selfSigned(name: string): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(0x30, Buffer.from(ECDSA_WITH_SHA256, 'hex'));
  const attribute = der(0x30, Buffer.from(COMMON_NAME, 'hex'), der(0x0c, Buffer.from(name)));
  const names = der(0x30, der(0x31, attribute));
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(15)]);
  const body = der(
    0x30,
    ...[der(0xa0, der(0x02, Buffer.from([2]))), der(0x02, serial), algorithm, names],
    ...[der(0x30, utcTime(Date.now() - 60_000), utcTime(Date.now() + YEAR_MS)), names],
    publicKey.export({ type: 'spki', format: 'der' }),
  );
  const signature = sign('sha256', body, privateKey);
  const whole = der(0x30, body, algorithm, der(0x03, Buffer.from([0]), signature));
  const lines = whole.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}

/** One value in DER: tag, length, contents. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const contents = Buffer.concat(parts);
  const { length } = contents;
  const head =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), contents]);
}

function utcTime(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${text}Z`));
}
