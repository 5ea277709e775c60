import { hasAuthorization } from './bearer.ts';
import { type AuthRequest, type Identity, type IdentityProvider, invalidToken } from './identity.ts';

/**
 * Who is calling: the one provider that knows the kind of credential decides. Without a credential nobody is anybody.
 *
 * @throws {LabwrightError} what the provider throws; `invalid_token` (401) when there is no credential, or none of a kind
 * that is known here
 */
export async function identifyCaller(providers: readonly IdentityProvider[], request: AuthRequest): Promise<Identity> {
  const provider = providers.find((candidate) => candidate.matches(request));
  if (provider !== undefined) return provider.identify(request);
  throw invalidToken(hasAuthorization(request) ? 'The token is not valid' : 'Authentication is required');
}
