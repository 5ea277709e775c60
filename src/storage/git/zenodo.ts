import { BuildProblem } from '../../domain/build/build.ts';
import type { BuildsConfig } from '../../config/index.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import { problemOfStatus, repositoryNotFound } from './problems.ts';

/**
 * The record of Zenodo that a DOI leads to. The DOI of a project leads to its newest version, that of a version to itself.
 *
 * @throws {BuildProblem} `RepositoryNotFound` for a DOI that is none, `RepositoryInvalid` for one that leads elsewhere
 */
export function findRecord(
  client: OutboundClient,
  doi: string,
  { url, doiUrl }: BuildsConfig['repositories']['zenodo'],
  signal: AbortSignal,
): Promise<string> {
  const target = `${doiUrl}/${doi.split('/').map(encodeURIComponent).join('/')}`;
  const headers = { accept: 'text/html' };
  return client.ask(target, { headers, signal }, (answer) => {
    const host = answer.url.host;
    if (answer.status === 404 || answer.status === 410) throw repositoryNotFound(host);
    if (answer.status === 429 || answer.status >= 500) {
      throw problemOfStatus(answer.status, host, false, answer.headers['retry-after']);
    }
    const record = /^\/records?\/([0-9]{1,15})\/?$/.exec(
      answer.url.pathname.slice(new URL(url).pathname.length - 1),
    )?.[1];
    if (host === new URL(url).host && record !== undefined) return Promise.resolve(record);
    const message = 'This DOI does not lead to a record of Zenodo, and others cannot be built.';
    throw new BuildProblem({ reason: 'RepositoryInvalid', message });
  });
}
