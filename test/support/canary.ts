/** How every credential begins that a test plants. */
const WORD = 'canary-';
/** The word plain, escaped in a URL, and as base64 has it at each of the three places at which it can begin. */
const DISGUISES: readonly string[] = [WORD, 'canary%2D', ...[0, 1, 2].map(inBase64)];
const LONGEST = Math.max(...DISGUISES.map(({ length }) => length));
/** Of what was found: enough to see what it is, no more. */
const EXCERPT = 120;
const FINDINGS = 20;

/** One list for the process, however often this module is loaded in it. */
const shared = globalThis as { labwrightCanaries?: string[] };
const findings = (shared.labwrightCanaries ??= []);

/** A credential for a test to plant. It may be seen in Secrets and in requests that use it, and nowhere else. */
export function canary(name: string): string {
  return `${WORD}${name}`;
}

/** Where planted credentials were seen until now; the list is empty afterwards. */
export function takeFindings(): string[] {
  return findings.splice(0);
}

/** Notes it when a text has a planted credential in it, or the beginning of one. */
export function watchText(text: string, where: string): void {
  if (findings.length >= FINDINGS) return;
  const at = indexOf(text);
  if (at >= 0) findings.push(`${where}: …${text.slice(Math.max(0, at - EXCERPT), at + EXCERPT)}…`);
}

/** Watches a Kubernetes object, or a list of them; what is inside of a Secret's data is where it belongs. */
export function watchObject(object: unknown, where: string): void {
  watchText(JSON.stringify(object, (_key, value: unknown) => withoutData(value)) ?? '', where);
}

/** Watches a text that comes in pieces. */
export class TextWatch {
  readonly #where: string;
  readonly #decoder = new TextDecoder();
  #tail = '';

  constructor(where: string) {
    this.#where = where;
  }

  add(bytes: Uint8Array): void {
    const text = this.#tail + this.#decoder.decode(bytes, { stream: true });
    watchText(text, this.#where);
    // What stands across two pieces is seen with the second one, and nothing is seen twice.
    this.#tail = indexOf(text) >= 0 ? '' : text.slice(1 - LONGEST);
  }
}

function indexOf(text: string): number {
  const found = DISGUISES.map((word) => text.indexOf(word)).filter((at) => at >= 0);
  return found.length === 0 ? -1 : Math.min(...found);
}

function withoutData(value: unknown): unknown {
  const isSecret = typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'Secret';
  return isSecret ? { ...value, data: undefined, stringData: undefined } : value;
}

function inBase64(offset: number): string {
  const text = Buffer.from('\0'.repeat(offset) + WORD).toString('base64');
  // The first and the last characters depend on what stands around it.
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + WORD.length) * 8) / 6));
}
