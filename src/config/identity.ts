import { z } from 'zod';
import { crossCheck, uniqueBy } from './cross-check.ts';
import { cidr } from './kubernetes.ts';

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
      .describe('`user` acts for one user, `hub` reads and deletes any lab, `admin` does everything.'),
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
    tokens: z.array(token).check(uniqueBy('sha256')).default([]).describe('Static tokens.'),
    proxyHeaders: z
      .strictObject({
        trustedAddresses: z.array(cidr).min(1).describe('Addresses of the proxy.'),
      })
      .optional()
      .describe('Believe `X-Auth-Request-User` and `X-Auth-Request-Token` of a proxy, as Nublado does.'),
  })
  .check(
    crossCheck(['tokens', 'proxyHeaders'], ({ tokens, proxyHeaders }, report) => {
      if (tokens.length === 0 && proxyHeaders === undefined) {
        report([], 'expected tokens or proxyHeaders: nobody could call otherwise');
      }
    }),
  );

/** Facts about users whom a proxy only names. */
export const users = z.strictObject({
  defaults: z.strictObject(facts).optional().describe('For users not listed; they are refused when absent.'),
  byName: z
    .record(z.string().min(1), z.strictObject({ name: displayName, ...facts }))
    .default({})
    .describe('By user name.'),
});
