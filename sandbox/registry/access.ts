import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { refuse } from './errors.ts';

/** Who may use the registry, and how they show it. Everybody may where there is none. */
export interface RegistryAccess {
  /** `basic`: name and password with every request. `bearer`: they are exchanged for a token at `/token`. */
  readonly kind: 'basic' | 'bearer';
  readonly username: string;
  readonly password: string;
  /** How long a token lasts. */
  readonly tokenSeconds?: number;
}

const TOKENS = 1000;
const TOKEN_SECONDS = 300;

/** Decides whether a request may pass. */
export class AccessGuard {
  readonly #access: RegistryAccess;
  /** When each token ends, in milliseconds since the epoch, and what it is for. */
  readonly #tokens = new Map<string, { readonly until: number; readonly scope: string }>();

  constructor(access: RegistryAccess) {
    this.#access = access;
  }

  /**
   * @param repository none for the root of the API
   * @param origin of this registry, for the challenge
   * @throws Refusal 401 with a challenge
   */
  check(header: string | undefined, repository: string | undefined, write: boolean, origin: string): void {
    const scope = repository === undefined ? '' : `repository:${repository}:${write ? 'pull,push' : 'pull'}`;
    if (this.#access.kind === 'basic') {
      if (!this.#isKnown(header)) throw refuse.unauthorized('Basic realm="sandbox"');
      return;
    }
    const token = this.#tokens.get(/^Bearer (.+)$/.exec(header ?? '')?.[1] ?? '');
    const isFor = scope === '' || token?.scope === scope || token?.scope === scope.replace(':pull', ':pull,push');
    if (token !== undefined && token.until > Date.now() && isFor) return;
    const asked = scope === '' ? '' : `,scope="${scope}"`;
    throw refuse.unauthorized(`Bearer realm="${origin}/token",service="sandbox"${asked}`);
  }

  /** The answer of `/token`. @throws Refusal 401 */
  issue(header: string | undefined, scope: string): string {
    if (!this.#isKnown(header)) throw refuse.unauthorized('Basic realm="sandbox"');
    const seconds = this.#access.tokenSeconds ?? TOKEN_SECONDS;
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size >= TOKENS && oldest !== undefined) this.#tokens.delete(oldest);
    const token = randomUUID();
    this.#tokens.set(token, { until: Date.now() + seconds * 1000, scope });
    return JSON.stringify({ token, expires_in: seconds, issued_at: new Date().toISOString() });
  }

  #isKnown(header: string | undefined): boolean {
    const { username, password } = this.#access;
    const given = Buffer.from(/^Basic (.+)$/.exec(header ?? '')?.[1] ?? '', 'base64');
    return timingSafeEqual(digest(given), digest(Buffer.from(`${username}:${password}`)));
  }
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
