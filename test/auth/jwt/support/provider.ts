import { pino } from 'pino';
import { jwtIssuer, serviceAccounts } from '../../../../src/config/auth-providers.ts';
import { identifyCaller } from '../../../../src/auth/identify.ts';
import type { AuthRequest, Identity } from '../../../../src/auth/identity.ts';
import { jwtProvider, type JwtProvider, type JwtProviderOptions } from '../../../../src/auth/jwt/provider.ts';
import { LabwrightError } from '../../../../src/domain/errors.ts';
import { AUDIENCE } from './issuer.ts';

/** The configuration of one issuer, as the file would have it. */
export function issuerConfig(issuer: string, change: Record<string, unknown> = {}) {
  return jwtIssuer.parse({ issuer, audience: AUDIENCE, ...change });
}

export function serviceAccountsConfig(change: Record<string, unknown> = {}) {
  return serviceAccounts.parse(change);
}

export function requestWith(authorization: string | readonly string[]): AuthRequest {
  return {
    method: 'GET',
    headers: (name) => (name === 'authorization' ? [authorization].flat() : []),
    remoteAddress: '127.0.0.1',
  };
}

/** What became of a request: whose it is, or the status and the code of the refusal. */
export type Outcome = Identity | { readonly status: number; readonly code: string; readonly message: string };

/** A provider and what it logged. */
export interface TestProvider {
  readonly provider: JwtProvider;
  readonly logs: Record<string, unknown>[];
  /** Shows it a token as a request does. */
  show(token: string): Promise<Outcome>;
  close(): Promise<void>;
}

export function startProvider(options: Omit<JwtProviderOptions, 'logger'>): TestProvider {
  const logs: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'debug' },
    { write: (line) => void logs.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const provider = jwtProvider({ logger, ...options });
  return {
    provider,
    logs,
    show: (token) => identifyCaller([provider], requestWith(`Bearer ${token}`)).catch(refusalOf),
    close: () => provider.close(),
  };
}

function refusalOf(error: unknown): Outcome {
  if (!(error instanceof LabwrightError)) throw error;
  const { status, code, message } = error;
  return { status, code, message };
}
