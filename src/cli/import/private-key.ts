import type { Source } from './source.ts';

const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/;
const WHY =
  'it holds a private key, which whoever may read the configuration can read here: put it into a Secret of the namespace of Labwright, and have it ' +
  'copied to the same path (lab.secrets: secretName, secretKey, path)';

/** Says that a file of labs is in the configuration, and where it should not be. */
export function settleFile(file: Source, to: string): void {
  if (holdsPrivateKey(file)) file.remarked(to, WHY);
  else file.mapped(to);
}

/** Whether it is in the text of a file, or in its bytes. */
export function holdsPrivateKey(source: Source): boolean {
  const text = source.text();
  if (text === undefined) return source.entries().some(([, entry]) => holdsPrivateKey(entry));
  return PRIVATE_KEY.test(text) || PRIVATE_KEY.test(Buffer.from(text, 'base64').toString('latin1'));
}
