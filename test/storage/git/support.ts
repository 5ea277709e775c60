import { pino } from 'pino';
import type { BuildsConfig } from '../../../src/config/index.ts';
import { repositories } from '../../../src/config/builds/repositories.ts';
import { Problem } from '../../../src/domain/problem.ts';
import { type GitCredential, mostSpecific } from '../../../src/domain/git/git-credential.ts';
import type { AddressGuard } from '../../../src/storage/outbound/address-guard.ts';
import { RefResolver } from '../../../src/storage/git/ref-resolver.ts';

type Input = Parameters<typeof repositories.parse>[0];

export function repositoriesConfig(input: Input = {}): BuildsConfig['repositories'] {
  return repositories.parse(input);
}

/** A resolver that may ask hosts of this machine where `privateHosts` has them, with credentials from a list. */
export function resolverOf(
  input: Input,
  credentials: readonly GitCredential[] = [],
  guard?: AddressGuard,
): { resolver: RefResolver; lines: string[] } {
  const lines: string[] = [];
  const resolver = new RefResolver({
    config: repositoriesConfig(input),
    credentials: { forUrl: (url) => Promise.resolve(mostSpecific(credentials, url)) },
    logger: pino({}, { write: (line: string) => void lines.push(line) }),
    ...(guard === undefined ? {} : { guard }),
  });
  return { resolver, lines };
}

export async function problemOf(attempt: Promise<unknown>): Promise<Problem> {
  const outcome: unknown = await attempt.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  );
  if (outcome instanceof Problem) return outcome;
  throw outcome;
}
