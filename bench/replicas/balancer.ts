import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * What a Service does with the replicas behind it: each connection goes to one that is ready, at random, and to another one when
 * nobody listens there. A connection that was accepted stays where it is, whatever becomes of that replica.
 */
export class Balancer {
  readonly url: string;
  readonly #server: Server;
  readonly #random: () => number;
  readonly #sockets = new Set<Socket>();
  #ports: readonly number[] = [];

  static async start(random: () => number): Promise<Balancer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Balancer(server, random);
  }

  private constructor(server: Server, random: () => number) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
    this.#random = random;
    server.on('connection', (socket) => this.#take(socket));
  }

  /** The ports of the replicas that are ready. */
  set ready(ports: readonly number[]) {
    this.#ports = ports;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #take(client: Socket): void {
    this.#hold(client);
    const first = Math.floor(this.#random() * this.#ports.length);
    this.#try(client, [...this.#ports.slice(first), ...this.#ports.slice(0, first)]);
  }

  #try(client: Socket, ports: readonly number[]): void {
    const [port, ...others] = ports;
    if (port === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(port, '127.0.0.1');
    this.#hold(upstream);
    let isOpen = false;
    upstream.once('connect', () => {
      isOpen = true;
      client.pipe(upstream).pipe(client);
      client.once('close', () => upstream.destroy());
    });
    upstream.once('close', () => {
      if (isOpen) client.destroy();
      else if (!client.destroyed) this.#try(client, others);
    });
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
