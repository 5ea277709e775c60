import { SetupError } from '../../domain/setup-error.ts';
import { errorCode } from '../../util/http.ts';
import { reread } from '../../util/memo.ts';
import type { KubeConnection } from './connection.ts';

/** A connection that is being made for longer than this is given up for another attempt. */
const ATTEMPT_MS = 30_000;

/**
 * A connection that is made by the first call that needs it, and by the next one where that fails: a kubeconfig file that is
 * not there yet and a plugin that fails are an outage of the cluster that they lead to, and of nothing else.
 *
 * @param what what the credentials are read from, for the sentence of a failure
 */
export function lateConnection(what: string, connect: () => Promise<KubeConnection>): KubeConnection {
  let made: KubeConnection | undefined;
  let isClosed = false;
  const attempt = reread(ATTEMPT_MS, async () => {
    const connection = await connect().catch((cause: unknown) => {
      throw cause instanceof SetupError ? cause : new SetupError(sentence(what, cause));
    });
    // An attempt that was given up has succeeded late.
    if (made !== undefined || isClosed) void connection.close();
    else made = connection;
  });
  const connection = () => {
    if (made === undefined) throw new TypeError('the connection is not made yet');
    return made;
  };
  return {
    get server() {
      return connection().server;
    },
    get dispatcher() {
      return connection().dispatcher;
    },
    async headers() {
      if (made === undefined) await attempt();
      try {
        return await connection().headers();
      } catch (cause) {
        throw new SetupError(sentence(what, cause));
      }
    },
    renew: (used) => made?.renew?.(used) ?? false,
    async close() {
      isClosed = true;
      await made?.close();
    },
  };
}

/** Without what a plugin or a parser has written: it may quote credentials. */
function sentence(what: string, cause: unknown): string {
  const { syscall } = cause as NodeJS.ErrnoException;
  const code = errorCode(cause);
  const why = code ?? 'what its user names gives no credential';
  // The call says which command there is not: `spawn aws`.
  return `The credentials of ${what} cannot be had: ${code === undefined || syscall === undefined ? why : `${syscall}: ${code}`}`;
}
