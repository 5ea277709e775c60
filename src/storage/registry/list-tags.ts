import { speaksRegistry } from './manifest-answer.ts';
import { repositoryMissing, type RegistryProblem, unavailable } from './problems.ts';
import { DOCKER_HUB } from './registry-connection.ts';
import type { Read, ReadTime, RegistryReader } from './registry-reader.ts';
import { nextPage, readTags } from './tag-page.ts';

/** Most tags of one page. Registries may give fewer, or all that they have. */
const PAGE = 1_000;
const MOST_PAGES = 100;
const MOST_TAGS = 20_000;

/**
 * All tags of a repository, in the order of the registry, each once. The next page is where the registry says it is, as long
 * as that is at the registry itself.
 *
 * @throws {RegistryProblem} `RegistryRepositoryMissing`, `RegistryDenied`, or `RegistryUnavailable`: also for more tags than
 * can be kept, for pages without an end, and for pages elsewhere
 */
export async function listTags(reader: RegistryReader, repository: string, time: ReadTime): Promise<readonly string[]> {
  const tags = new Set<string>();
  const seen = new Set<string>();
  let path = `/v2/${repository}/tags/list?n=${PAGE}`;
  for (;;) {
    seen.add(path);
    const read = await reader.read({ method: 'GET', repository, path, headers: { accept: 'application/json' } }, time);
    for (const tag of readPage(reader, repository, read)) tags.add(tag);
    if (tags.size > MOST_TAGS) throw refused(reader, `has more than ${MOST_TAGS} tags in ${repository}`);
    const next = nextPage(read.answer.headers.link);
    if (next === undefined) return [...tags];
    path = nextPath(reader, path, next);
    if (seen.has(path)) throw refused(reader, `lists the tags of ${repository} in a circle`);
    if (seen.size === MOST_PAGES)
      throw refused(reader, `lists the tags of ${repository} on more than ${MOST_PAGES} pages`);
  }
}

function readPage(reader: RegistryReader, repository: string, read: Read): readonly string[] {
  const { answer, shown } = read;
  const isHidden = answer.status === 401 && reader.host === DOCKER_HUB && shown === 'token';
  if ((answer.status === 404 && speaksRegistry(answer)) || isHidden) throw repositoryMissing(reader.host, repository);
  if (answer.status === 404) throw unavailable(reader.host, 'is not where it should be (404 from something else)');
  if (answer.status !== 200) throw reader.refusal(read);
  const tags = readTags(answer.body);
  if (tags === undefined) throw unavailable(reader.host, 'answers with something that is no list of tags');
  return tags;
}

/** What comes after the address of the registry, whose own path is not repeated. */
function nextPath(reader: RegistryReader, path: string, next: string): string {
  const { address } = reader;
  const url = URL.canParse(next, `${address}${path}`) ? new URL(next, `${address}${path}`) : undefined;
  const { origin, pathname } = new URL(address);
  const isHere = url?.origin === origin && url.username === '' && url.password === '';
  if (url === undefined || !isHere) throw refused(reader, 'has its next page of tags at another address');
  const base = pathname.replace(/\/+$/, '');
  if (!url.pathname.startsWith(`${base}/`)) throw refused(reader, 'has its next page of tags at another address');
  return `${url.pathname.slice(base.length)}${url.search}`;
}

function refused(reader: RegistryReader, why: string): RegistryProblem {
  return unavailable(reader.host, why, { transient: false });
}
