import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Places in a build at which it waits until the scene lets it go on: a step asks for an address that does not answer yet. */
export interface Gates {
  /** The shell command of a step that waits there. */
  pass(name: string): string;
  /** Resolves when a build stands at the gate. @throws Error after `timeoutMs` */
  reached(name: string, timeoutMs?: number): Promise<void>;
  /** Lets through who stands there, and who comes later. */
  open(name: string): void;
  close(): Promise<void>;
}

class Gate {
  readonly #waiting = new Set<ServerResponse>();
  readonly #reached = Promise.withResolvers<undefined>();
  #isOpen = false;

  get reached(): Promise<undefined> {
    return this.#reached.promise;
  }

  arrive(response: ServerResponse): void {
    this.#reached.resolve(undefined);
    if (this.#isOpen) response.end();
    else this.#waiting.add(response);
  }

  open(): void {
    this.#isOpen = true;
    for (const response of this.#waiting) response.end();
    this.#waiting.clear();
  }
}

/** @param host an address of this host that pods reach */
export async function startGates(host: string): Promise<Gates> {
  const gates = new Map<string, Gate>();
  const gate = (name: string): Gate => {
    const known = gates.get(name) ?? new Gate();
    gates.set(name, known);
    return known;
  };
  const server = createServer((request, response) => gate((request.url ?? '/').slice(1)).arrive(response));
  server.listen(0, host);
  await once(server, 'listening');
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  return {
    // Its own word for it, so that the log says where the build stands.
    pass: (name) => `echo "at the gate ${name}" && curl -fsS ${url}/${name}`,
    async reached(name, timeoutMs = 120_000) {
      const late = AbortSignal.timeout(timeoutMs);
      const tooLate = once(late, 'abort').then(() => {
        throw new Error(`No build came to the gate ${name} within ${timeoutMs} ms`);
      });
      await Promise.race([gate(name).reached, tooLate]);
    },
    open: (name) => gate(name).open(),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
