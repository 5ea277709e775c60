import { createHash } from 'node:crypto';
import { z } from 'zod';
import { invalidToken } from '../identity.ts';
import { AnswerCache } from '../answer-cache.ts';
import { type HubClient, noAnswer } from './client.ts';

/** Who holds a token, as the hub says at `GET /user`. */
export interface HubHolder {
  readonly kind: 'user' | 'service';
  readonly name: string;
  /** Names; null where the hub says nothing of them, as for services. */
  readonly groups: readonly string[] | null;
  /** Whether the hub knows the user as an administrator; null where it does not say. */
  readonly admin: boolean | null;
  /** What the token may do, in the hub's words. */
  readonly scopes: ReadonlySet<string>;
}

/** Knows who holds a token of the hub. */
export interface HubTokens {
  /**
   * @throws {LabwrightError} `invalid_token` (401) when the hub refuses the token, `bad_gateway` (502) or `not_ready` (503)
   * when it does not say
   */
  resolve(token: string): Promise<HubHolder>;
}

export interface HubTokensOptions {
  readonly client: HubClient;
  /** How long an answer of the hub holds, in milliseconds; refusals too, which otherwise would flood the hub. */
  readonly cacheLifetime: number;
  readonly now?: () => number;
}

/** Longest token that the hub is asked about, in characters; its own have 32. */
export const HUB_TOKEN_LENGTH = 1024;
const GROUPS = 1000;

const Holder = z.object({
  kind: z.enum(['user', 'service']),
  name: z.string().min(1),
  groups: z.array(z.string()).optional(),
  admin: z.boolean().optional(),
  scopes: z.array(z.string()),
});

/** Asks the hub, and remembers what it said by the SHA-256 of the token: no token is kept. */
export function hubTokens({ client, cacheLifetime, now }: HubTokensOptions): HubTokens {
  const cache = new AnswerCache<HubHolder>({ lifetimeMs: cacheLifetime, ...(now === undefined ? {} : { now }) });

  async function ask(token: string): Promise<HubHolder | undefined> {
    const { status, body } = await client.get('/user', token);
    return status === 200 ? readHolder(body) : undefined;
  }

  return {
    async resolve(token) {
      const key = createHash('sha256').update(token).digest('base64');
      const holder = token.length > HUB_TOKEN_LENGTH ? undefined : await cache.get(key, () => ask(token));
      if (holder === undefined) throw invalidToken('The token is not valid');
      return holder;
    },
  };
}

function readHolder(body: unknown): HubHolder {
  const { data } = Holder.safeParse(body);
  if (data === undefined) throw noAnswer(new Error('what JupyterHub says of a token is no user and no service'));
  const { kind, name, groups, admin = null, scopes } = data;
  return { kind, name, groups: groups?.slice(0, GROUPS) ?? null, admin, scopes: new Set(scopes) };
}
