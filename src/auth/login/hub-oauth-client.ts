import {
  allowInsecureRequests,
  authorizationCodeGrantRequest,
  type AuthorizationServer,
  AuthorizationResponseError,
  ClientSecretPost,
  customFetch,
  processAuthorizationCodeResponse,
  ResponseBodyError,
  validateAuthResponse,
} from 'oauth4webapi';
import { fetch } from 'undici';
import { LabwrightError } from '../../domain/errors.ts';
import { pool } from '../../util/http.ts';
import { noAnswer } from '../jupyterhub/client.ts';
import type { ServiceToken } from '../jupyterhub/users.ts';

/** The hub as an OAuth server, of which Labwright is a client. */
export interface HubOAuthClient {
  /** Where a browser asks for a code. */
  authorizeUrl(login: {
    readonly redirectUri: string;
    readonly state: string;
    /** S256 of the verifier. */
    readonly challenge: string;
  }): string;
  /**
   * Gives a code for an access token.
   *
   * @throws {LabwrightError} `permission_denied` (403) when the hub did not allow the login, `invalid_request` (400) when
   * the code is not good, `bad_gateway` (502) when the hub fails
   */
  redeem(answer: {
    readonly parameters: URLSearchParams;
    readonly state: string;
    readonly redirectUri: string;
    readonly verifier: string;
  }): Promise<string>;
  close(): Promise<void>;
}

export interface LoginPartyOptions {
  /** The hub's API as we reach it. */
  readonly apiUrl: string;
  /** Where browsers ask for a code: `https://hub.example.org/hub/api/oauth2/authorize`. */
  readonly authorizeUrl: string;
  readonly clientId: string;
  /** The client's secret: at a JupyterHub, the service's API token. */
  readonly serviceToken: ServiceToken;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const BODY_BYTES = 64 * 1024;
const ERROR_WORD = /^[a-z_]{1,64}$/;

export function createHubOAuthClient(options: LoginPartyOptions): HubOAuthClient {
  const { apiUrl, authorizeUrl, clientId, serviceToken, timeoutMs = TIMEOUT_MS } = options;
  const dispatcher = pool({ connections: 4, maxResponseSize: BODY_BYTES, connect: { timeout: timeoutMs } });
  const server: AuthorizationServer = { issuer: apiUrl, token_endpoint: `${apiUrl}/oauth2/token` };
  const client = { client_id: clientId };

  async function redeem({ parameters, state, redirectUri, verifier }: Parameters<HubOAuthClient['redeem']>[0]) {
    const valid = validateAuthResponse(server, client, parameters, state);
    const authentication = ClientSecretPost(await serviceToken());
    const answer = await authorizationCodeGrantRequest(server, client, authentication, valid, redirectUri, verifier, {
      signal: AbortSignal.timeout(timeoutMs),
      // Inside of a cluster hubs are spoken to in clear.
      [allowInsecureRequests]: true,
      // The library's own types are those of the global fetch, which takes no dispatcher of this package.
      [customFetch]: (url, init) => fetch(url, { ...init, dispatcher }),
    });
    return (await processAuthorizationCodeResponse(server, client, answer)).access_token;
  }

  return {
    authorizeUrl({ redirectUri, state, challenge }) {
      const url = new URL(authorizeUrl);
      const parameters = {
        client_id: clientId,
        redirect_uri: redirectUri,
        response_type: 'code',
        state,
        code_challenge: challenge,
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return url.href;
    },
    async redeem(answer) {
      try {
        return await redeem(answer);
      } catch (error) {
        throw error instanceof LabwrightError ? error : translate(error);
      }
    },
    close: () => dispatcher.destroy(),
  };
}

/** The library's errors hold the hub's answers, with what is secret in them: only the word for what is wrong goes on. */
function translate(error: unknown): LabwrightError {
  const word = error instanceof AuthorizationResponseError || error instanceof ResponseBodyError ? error.error : '';
  if (word === 'access_denied') {
    return new LabwrightError('permission_denied', 403, 'JupyterHub did not allow this login');
  }
  if (word === 'invalid_grant') {
    return new LabwrightError(
      'invalid_request',
      400,
      'This login has been used already, or took too long. Log in again.',
    );
  }
  const { code = '', name } = error as { code?: unknown; name: string };
  const what = ERROR_WORD.test(word) ? word : `${name} ${typeof code === 'string' ? code : ''}`.trim();
  return noAnswer(new Error(`JupyterHub gave no token for a login: ${what}`));
}
