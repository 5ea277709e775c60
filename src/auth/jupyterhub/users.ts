import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { readFacts } from '../claims.ts';
import { AnswerCache } from '../answer-cache.ts';
import { type HubClient, noAnswer } from './client.ts';
import type { Lookup } from '../user-directory.ts';
import { mergeFacts, type UserFacts } from '../user-facts.ts';

/** The API token of the service at the hub, as it is now. */
export type ServiceToken = () => Promise<string>;

export interface HubUserLookupOptions {
  readonly client: HubClient;
  readonly serviceToken: ServiceToken;
  readonly now?: () => number;
}

const LIFETIME_MS = 60_000;
const TOKEN_FILE = /^\s*([\x21-\x7e]{8,1024})\s*$/;
/** The facts in the hub's auth state go by our names for them. */
const FACT_NAMES = {
  name: 'name',
  email: 'email',
  uid: 'uid',
  gid: 'gid',
  groups: 'groups',
  home: 'home',
  quota: 'quota',
};

const UserModel = z.object({
  kind: z.literal('user'),
  name: z.string(),
  groups: z.array(z.string()).optional(),
  admin: z.boolean().optional(),
  auth_state: z.record(z.string(), z.unknown()).nullish(),
});

/** Reads the file each time, since whoever runs the hub may put another token into it. */
export function serviceTokenFile(path: string): ServiceToken {
  return async () => {
    try {
      const token = TOKEN_FILE.exec(await readFile(path, 'utf8'))?.[1];
      if (token === undefined) throw new Error(`${path} does not hold a token`);
      return token;
    } catch (cause) {
      throw noAnswer(cause);
    }
  };
}

/**
 * Asks the hub for a user's model: the groups, and what the hub's authenticator keeps in the auth state (`uid`, `gid`,
 * `name`, `email`, `home`, `groups`, `quota`) where the service may read it. An answer holds for a minute.
 */
export function hubUserLookup({ client, serviceToken, now }: HubUserLookupOptions): Lookup {
  const cache = new AnswerCache<UserFacts>({ lifetimeMs: LIFETIME_MS, ...(now === undefined ? {} : { now }) });

  async function ask(username: string): Promise<UserFacts | undefined> {
    const { status, body } = await client.get(`/users/${encodeURIComponent(username)}`, await serviceToken());
    if (status === 404) return undefined;
    // A service that may not ask is a mistake in the hub's configuration; of the user it says nothing.
    if (status !== 200) throw noAnswer(new Error(`JupyterHub answered ${status} to a question of the service`));
    const { data: model } = UserModel.safeParse(body);
    if (model?.name !== username) throw noAnswer(new Error('what JupyterHub says of a user is no model of that user'));
    const { groups, admin = null, auth_state: authState } = model;
    const facts = mergeFacts(
      username,
      [authState ?? {}, { groups }].map((claims) => readFacts(username, claims, FACT_NAMES)),
    );
    return { ...facts, admin };
  }

  return (username) => cache.get(username, () => ask(username));
}
