import { basicAuthorization, type GitCredential } from '../../domain/git/git-credential.ts';
import { bounded, type OutboundAnswer, type OutboundClient, readAll } from '../outbound/outbound-client.ts';
import { resumable } from './pkt-line.ts';
import { noGit, problemOfStatus } from './problems.ts';
import type { RemoteQuestion } from './remote-refs.ts';

const SERVICE = 'git-upload-pack';
/** Refs that begin as the wanted one does. */
const REFS_BYTES = 16 * 1024 * 1024;
const TRAILER_BYTES = 1_024;
const PROTOCOL = { 'git-protocol': 'version=2' };

export interface HttpRemote {
  readonly url: string;
  readonly credential: GitCredential | undefined;
  /** Hears where the repository is, after redirects, before it is asked for its refs. What it throws ends the question. */
  readonly onFound?: (url: string) => void;
}

/**
 * Puts a question to a repository behind "smart HTTP" (gitprotocol-http).
 *
 * @throws {BuildProblem} when the host says that there is no such repository; whatever the client and the question throw
 */
export async function askOverHttp<T>(
  client: OutboundClient,
  { url, credential, onFound }: HttpRemote,
  question: RemoteQuestion<T>,
  signal: AbortSignal,
): Promise<T> {
  const authorization = (target: URL) => basicAuthorization(credential, target.href);
  const host = new URL(url).host;
  const ask = { headers: PROTOCOL, authorization, signal };
  return client.ask(`${url}/info/refs?service=${SERVICE}`, ask, async (answer) => {
    expectType(answer, 'advertisement', host, credential !== undefined);
    const base = /^(.*)\/info\/refs(?:\?[^/]*)?$/.exec(answer.url.href)?.[1];
    if (base === undefined) throw noGit(host);
    onFound?.(base);
    const advertisement = resumable(answer.body);
    const command = async <R>(body: Buffer, read: (answer: AsyncIterable<Uint8Array>) => Promise<R>) => {
      // Read to its end, the connection serves the second question too.
      await readAll(advertisement, TRAILER_BYTES);
      const headers = { ...PROTOCOL, 'content-type': `application/x-${SERVICE}-request` };
      return client.ask(`${base}/${SERVICE}`, { ...ask, method: 'POST', headers, body }, async (result) => {
        expectType(result, 'result', host, credential !== undefined);
        return read(bounded(result.body, REFS_BYTES));
      });
    };
    return question({ advertisement, command });
  });
}

/** Anything but this type is a web page or the "dumb" protocol, which has nothing to build from. */
function expectType({ status, headers }: OutboundAnswer, kind: string, host: string, hasCredential: boolean): void {
  if (status !== 200) throw problemOfStatus(status, host, hasCredential, headers['retry-after']);
  if (headers['content-type']?.split(';')[0]?.trim() !== `application/x-${SERVICE}-${kind}`) throw noGit(host);
}
