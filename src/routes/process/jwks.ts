import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import { SIGNING_ALGORITHM } from '../../auth/keys/material.ts';
import type { SigningKeys } from '../../auth/keys/loaded-keys.ts';
import { JWKS_MAX_AGE } from '../../auth/keys/service.ts';
import { tokenIssuer } from '../../auth/keys/lab-tokens.ts';
import type { Config } from '../../config/index.ts';
import type { AppEnv } from '../server/context.ts';
import { ErrorBody, refuseInvalid } from '../server/errors.ts';
import { open } from '../server/permissions.ts';
import { json } from '../server/responses.ts';

export interface KeyRoutesOptions {
  readonly config: Pick<Config, 'baseUrl' | 'pathPrefix'>;
  /** Absent where nothing is signed: then the set of keys is empty. */
  readonly signing?: SigningKeys | undefined;
}

const JWKS_PATH = '/.well-known/jwks.json';

const Jwks = z
  .object({ keys: z.array(z.record(z.string(), z.unknown())) })
  .meta({ id: 'JsonWebKeySet', description: 'Keys, as RFC 7517 has them.' });
const Issuer = z
  .object({
    issuer: z.string(),
    jwks_uri: z.string(),
    response_types_supported: z.array(z.string()),
    subject_types_supported: z.array(z.string()),
    id_token_signing_alg_values_supported: z.array(z.string()),
  })
  .meta({
    id: 'Issuer',
    description: 'Where the keys are, as OpenID Connect Discovery has it. There is nothing to log in at.',
  });

const getJwks = createRoute({
  ...open('getJwks'),
  method: 'get',
  path: JWKS_PATH,
  summary: 'The keys that tokens of labs are signed with',
  responses: { 200: json(Jwks, 'The next, the current and the previous ones'), 503: json(ErrorBody, 'Not yet') },
});

const getIssuer = createRoute({
  ...open('getIssuer'),
  method: 'get',
  path: '/.well-known/openid-configuration',
  summary: 'The issuer of the tokens of labs',
  responses: { 200: json(Issuer, 'Its description') },
});

/** What other services need to check the token of a lab. To be mounted at the prefix, which ends the issuer's name. */
export function keyRoutes({ config, signing }: KeyRoutesOptions): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  // A key is published for far longer than this before it is used.
  const headers = { 'Cache-Control': `public, max-age=${JWKS_MAX_AGE}` };
  const issuer = tokenIssuer(config);
  routes.openapi(getJwks, (c) => {
    const keys = (signing?.jwks().keys ?? []) as unknown as Record<string, string>[];
    return c.json({ keys }, 200, headers);
  });
  routes.openapi(getIssuer, (c) =>
    c.json(
      {
        issuer,
        jwks_uri: `${issuer}${JWKS_PATH}`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [SIGNING_ALGORITHM],
      },
      200,
      headers,
    ),
  );
  return routes;
}
