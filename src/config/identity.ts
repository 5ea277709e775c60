import { z } from 'zod';
import { jupyterhub, jwtIssuers, proxyHeaders, serviceAccounts } from './auth-providers.ts';
import { crossCheck, uniqueBy } from './cross-check.ts';

/** uid 0 is refused by the pod itself (`runAsNonRoot`); better to say so here. */
const uid = z.int().min(1, { error: 'expected a uid above 0: labs do not run as root' }).max(2_147_483_647);
const gid = z.int().min(0).max(2_147_483_647);

const groups = z.array(
  z.strictObject({ name: z.string().min(1).describe('Name of the group.'), id: gid.describe('Its gid.') }),
);

const facts = {
  uid: uid.describe('POSIX user id.'),
  gid: gid.describe('Id of the primary group.'),
  groups: groups.default([]).describe('Groups of the user.'),
};
const displayName = z.string().nullable().default(null).describe('Display name.');

const token = z
  .strictObject({
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, { error: 'expected the SHA-256 of the token: 64 digits of 0-9 and a-f' })
      .describe('SHA-256 of the token, in hexadecimal: `printf %s "$TOKEN" | sha256sum`.'),
    role: z
      .enum(['user', 'hub', 'admin'])
      .describe('`user` acts for one user, `hub` for any user it names, `admin` does everything.'),
    user: z
      .strictObject({
        username: z.string().min(1).describe('Name, as the hub writes it.'),
        name: displayName,
        ...facts,
      })
      .optional()
      .describe('The user, with role `user`.'),
  })
  .check(
    crossCheck(['role', 'user'], ({ role, user }, report) => {
      if (role === 'user' && user === undefined)
        report(['user'], 'expected the user that a token of role user stands for');
      if (role !== 'user' && user !== undefined) report(['user'], `expected no user: the role is ${role}`);
    }),
  );

/** Who may call. */
export const auth = z
  .strictObject({
    tokens: z.array(token).check(uniqueBy('sha256')).default([]).describe('Static tokens, for trying and for bots.'),
    jwt: jwtIssuers.describe('Issuers of JWTs, such as an OpenID Connect provider.'),
    serviceAccounts: serviceAccounts
      .optional()
      .describe('Service accounts of the cluster, by their projected tokens: how a hub needs no shared secret.'),
    jupyterhub: jupyterhub.optional().describe('A JupyterHub, by its API tokens.'),
    proxyHeaders: proxyHeaders
      .optional()
      .describe('Believe `X-Auth-Request-User` and `X-Auth-Request-Token` of a proxy, as Nublado does.'),
  })
  .check(
    crossCheck(['tokens', 'jwt', 'serviceAccounts', 'jupyterhub', 'proxyHeaders'], (auth, report) => {
      const { tokens, jwt, serviceAccounts, jupyterhub, proxyHeaders } = auth;
      const single = [serviceAccounts, jupyterhub, proxyHeaders].some((provider) => provider !== undefined);
      if (tokens.length === 0 && jwt.length === 0 && !single) {
        report([], 'expected tokens, jwt, serviceAccounts, jupyterhub or proxyHeaders: nobody could call otherwise');
      }
    }),
    crossCheck(['jupyterhub'], ({ jupyterhub }, report) => {
      if (jupyterhub?.login !== undefined && jupyterhub.tokenFile === undefined) {
        report(['jupyterhub', 'tokenFile'], 'expected the token of the service: auth.jupyterhub.login needs it');
      }
    }),
  );

/** Where facts about a user can come from. */
export const FACT_SOURCES = ['claims', 'hub', 'gafaelfawr', 'static', 'defaults'] as const;

/** What is known of users. */
export const users = z.strictObject({
  sources: z
    .array(z.enum(FACT_SOURCES))
    .min(1)
    .default([...FACT_SOURCES])
    .describe(
      "Who is asked for a user's facts, each fact from the first that knows it: the claims of the caller's JWT, the hub's " +
        'user model, the user-info of Gafaelfawr, `byName` and the static tokens, `defaults`.',
    ),
  groupIds: z
    .record(z.string().min(1), gid)
    .default({})
    .describe('Gids of groups that a source gives by name only. A group without a gid counts for quotas alone.'),
  defaults: z.strictObject(facts).optional().describe('For whom nothing else is known; they are refused when absent.'),
  byName: z
    .record(z.string().min(1), z.strictObject({ name: displayName, ...facts }))
    .default({})
    .describe('By user name.'),
});
