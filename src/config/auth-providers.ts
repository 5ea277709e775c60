import { z } from 'zod';
import { cidr } from './kubernetes.ts';
import { uniqueBy } from './cross-check.ts';
import { duration, positiveDuration } from './units.ts';

const url = z.url({ protocol: /^https?$/, error: 'expected an http or https URL' });
/** An entry that is a name alone is a list of one. */
const names = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
  .transform((value) => (typeof value === 'string' ? [value] : value))
  .meta({ title: 'text or list of text' });
const role = z.enum(['user', 'hub', 'admin']);

/** Signatures that a party without the private key cannot make: https://www.rfc-editor.org/rfc/rfc8725#section-3.1 */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

const claims = z.strictObject({
  username: z
    .string()
    .min(1)
    .default('preferred_username')
    .describe('The name, as the hub writes it. `email` names nobody where `email_verified` is there and not true.'),
  name: z.string().min(1).default('name').describe('Display name.'),
  email: z.string().min(1).default('email').describe('Address of e-mail.'),
  uid: z.string().min(1).default('uid').describe('POSIX user id.'),
  gid: z.string().min(1).default('gid').describe('Id of the primary group.'),
  groups: z.string().min(1).default('groups').describe('Groups: names, or objects with `name` and `id`.'),
  home: z.string().min(1).default('home').describe('Home directory inside of the lab.'),
  quota: z.string().min(1).default('quota').describe('Quota: an object with `cpu`, `memory` and `spawn`.'),
});

/** One party whose tokens are believed. */
export const jwtIssuer = z.strictObject({
  issuer: url.describe('The `iss` of its tokens, to the letter.'),
  audience: names.describe('The `aud` that stands for Labwright; with several, any of them.'),
  jwksUri: url.optional().describe('Where its keys are; found by OpenID Connect discovery when absent.'),
  algorithms: z
    .array(z.enum(ALGORITHMS))
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('Signatures that are accepted.'),
  clockSkew: duration.default(30_000).describe('How far its clock may be off; 30s when absent.'),
  claims: claims
    .prefault({})
    .describe(
      'Which claim says what: its name, or a path with dots (`realm_access.roles`) where there is none of that name.',
    ),
  roles: z
    .array(
      z.strictObject({
        role: role.describe('The role.'),
        claim: z.string().min(1).describe('Name of the claim, or a path with dots.'),
        value: z
          .string()
          .min(1)
          .describe('What the claim is, or has among its entries, or among its words where it is `scope` or `scp`.'),
      }),
    )
    .default([])
    .describe(
      'Who has which role; the first that fits. A token that fits none is refused; without any, all are users.',
    ),
});

const serviceAccount = z.string().regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?\/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/, {
  error: 'expected namespace/name of a service account',
});

/** Service accounts of the cluster that labs run in. */
export const serviceAccounts = z.strictObject({
  audience: z.string().min(1).default('labwright').describe('The audience of their projected tokens.'),
  hub: z.array(serviceAccount).default([]).describe('`namespace/name` of those with the role hub.'),
  admin: z.array(serviceAccount).default([]).describe('`namespace/name` of those with the role admin.'),
});

/** A JupyterHub whose tokens are believed. */
export const jupyterhub = z.strictObject({
  apiUrl: url
    .transform((value) => value.replace(/\/+$/, ''))
    .describe('The hub API, as Labwright reaches it: `http://hub.jupyterhub:8081/hub/api`.'),
  scopes: z
    .strictObject({
      user: names.prefault(['access:services', 'access:services!service=labwright']).describe('For the role user.'),
      hub: names.prefault('custom:labwright:hub').describe('For the role hub.'),
      admin: names.prefault('custom:labwright:admin').describe('For the role admin.'),
    })
    .prefault({})
    .describe('Scopes that give a role, any of them; the highest counts. A token without any is refused.'),
  cacheLifetime: positiveDuration.default(300_000).describe('How long an answer of the hub about a token holds.'),
  tokenFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'File with the API token of the service `labwright` at the hub, for the login of people and for user models.',
    ),
  login: z
    .strictObject({
      clientId: z.string().min(1).default('service-labwright').describe('OAuth client id of the service.'),
      authorizeUrl: url
        .optional()
        .describe('`…/hub/api/oauth2/authorize` as browsers reach it; below `baseUrl` when absent.'),
      sessionLifetime: positiveDuration.default(28_800_000).describe('How long a login lasts.'),
    })
    .optional()
    .describe('Let people log in through the hub (OAuth) for the pages that are meant for them; needs `tokenFile`.'),
});

/** A reverse proxy that authenticates, and says so in headers. */
export const proxyHeaders = z.strictObject({
  trustedAddresses: z.array(cidr).min(1).describe('Addresses of the proxy.'),
  userInfoUrl: url
    .optional()
    .describe("Gafaelfawr's `…/auth/api/v1/user-info`, asked with the token from the headers for the user's facts."),
  hubUsers: z
    .array(z.string().min(1))
    .default([])
    .describe('Users with the role hub: those that hubs authenticate as.'),
  adminUsers: z.array(z.string().min(1)).default([]).describe('Users with the role admin.'),
});

export const jwtIssuers = z.array(jwtIssuer).check(uniqueBy('issuer')).default([]);
