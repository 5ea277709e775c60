import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Hands connections on to a server, until it is told not to. */
export interface Proxy {
  readonly url: string;
  /** Breaks all connections, and those to come. */
  cut(): void;
  mend(): void;
  /** Resolves when another connection has been broken. */
  refused(): Promise<void>;
  close(): Promise<void>;
}

/** @param target `http://HOST:PORT` */
export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isCut = false;
  let refused = Promise.withResolvers<undefined>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((socket) => {
    if (isCut) {
      refused.resolve(undefined);
      refused = Promise.withResolvers<undefined>();
      socket.on('error', () => undefined).destroy();
      return;
    }
    const onward = keep(connect(Number(port), hostname));
    keep(socket).pipe(onward).pipe(socket);
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => void (isCut = false),
    refused: () => refused.promise.then(() => undefined),
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
