import { createHash } from 'node:crypto';
import { z } from 'zod';
import { LabwrightError } from '../../domain/errors.ts';
import { AnswerCache } from '../answer-cache.ts';
import { createHttpClient, type HttpAnswer, type HttpClient } from '../http-client.ts';
import { invalidToken } from '../identity.ts';
import { readEmail, readGroups, readText } from '../claims.ts';
import { noFacts, type UserFacts } from '../user-facts.ts';

/** How long Nublado's controller keeps an answer. */
const FACTS_MS = 300_000;
/** A token that is refused stays refused, but for a scope that an administrator adds. */
const REFUSAL_MS = 60_000;

const id = z.int().min(0).max(2_147_483_647);
/** The part of Gafaelfawr's user-info that is used; what it does not know it leaves out or says null. */
const UserInfo = z.object({
  username: z.string(),
  name: z.string().nullish(),
  email: z.string().nullish(),
  uid: id.nullish(),
  gid: id.nullish(),
  groups: z.array(z.object({ name: z.string(), id: id.nullish() })).nullish(),
  quota: z
    .object({
      notebook: z
        .object({ cpu: z.number().min(0), memory: z.number().min(0), spawn: z.boolean().default(true) })
        .nullish(),
    })
    .nullish(),
});

export interface GafaelfawrOptions {
  /** `…/auth/api/v1/user-info` */
  readonly url: string;
  readonly http?: HttpClient;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** Knows whose a token of Gafaelfawr is, and what Gafaelfawr knows of them. */
export interface Gafaelfawr {
  /**
   * The facts of the token's user. Asked once for each token at a time, and then not again for five minutes.
   *
   * @throws {LabwrightError} `invalid_token` (401) when Gafaelfawr refuses the token, `bad_gateway` (502) when it does
   * not answer or its answer cannot be read
   */
  userInfo(token: string): Promise<UserFacts>;
  close(): Promise<void>;
}

/** Asks Gafaelfawr's user-info route, as Nublado's controller does. No token is kept: answers are found by its hash. */
export function createGafaelfawr({ url, http = createHttpClient(), now }: GafaelfawrOptions): Gafaelfawr {
  const answers = new AnswerCache<UserFacts>({
    lifetimeMs: FACTS_MS,
    missingMs: REFUSAL_MS,
    ...(now === undefined ? {} : { now }),
  });

  async function ask(token: string): Promise<UserFacts | undefined> {
    try {
      return readAnswer(await http.get(url, { authorization: `Bearer ${token}` }));
    } catch (cause) {
      throw cause instanceof LabwrightError ? cause : badGateway('Gafaelfawr does not answer', cause);
    }
  }

  return {
    async userInfo(token) {
      const key = createHash('sha256').update(token).digest('base64');
      const facts = await answers.get(key, () => ask(token));
      if (facts === undefined) throw invalidToken('User token is invalid');
      return facts;
    },
    close: () => http.close(),
  };
}

/** @returns undefined where it refuses the token */
function readAnswer({ status, body }: HttpAnswer): UserFacts | undefined {
  if (status === 401 || status === 403) return undefined;
  if (status !== 200) throw badGateway('Gafaelfawr cannot answer', new Error(`user-info answered ${String(status)}`));
  const { success, data, error } = UserInfo.safeParse(body);
  // The paths that do not fit, and not what is there: that is somebody's name or address.
  if (!success) throw badGateway('Gafaelfawr cannot answer', new Error(`user-info has no valid ${pathsOf(error)}`));
  const { username, name, email, uid, gid, groups, quota } = data;
  return {
    ...noFacts(username),
    name: readText(name),
    email: readEmail(email),
    uid: uid ?? null,
    gid: gid ?? null,
    groups: readGroups(groups),
    quota: quota?.notebook ? { ...quota.notebook, memory: Math.round(quota.notebook.memory * 2 ** 30) } : null,
  };
}

function pathsOf({ issues }: z.ZodError): string {
  const paths = issues.slice(0, 5).map(({ path }) => path.join('.'));
  return paths.join(', ') || 'body';
}

function badGateway(message: string, cause: unknown): LabwrightError {
  return new LabwrightError('bad_gateway', 502, message, { cause });
}
