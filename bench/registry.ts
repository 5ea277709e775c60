/**
 * What it costs to read a repository of 5,000 tags in a real registry: `node --expose-gc bench/registry.ts [tags]`. It needs
 * the program docker-registry.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { type FoundImage, OciRegistry } from '../src/storage/registry/image-registry.ts';
import { DockerRegistry, HTPASSWD, whyNoDockerRegistry } from '../test/storage/registry/real/docker-registry.ts';
import { Pushing } from '../test/storage/registry/real/pushing.ts';
import { TokenServer } from '../test/storage/registry/real/token-server.ts';

const NAME = 'labs/science';
const TAGS = Number(process.argv[2] ?? 5_000);
const IMAGES = 20;
const { signal } = new AbortController();

/** Counts what goes to a registry and comes from it, headers included. */
class Counter {
  requests = 0;
  connections = 0;
  bytes = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server;

  constructor(port: number) {
    this.#server = createServer((from) => {
      const to = connect(port, '127.0.0.1');
      this.connections += 1;
      for (const socket of [from, to]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          from.destroy();
          to.destroy();
        });
      }
      // The client waits for an answer before it sends the next request.
      from.on('data', (data) => {
        if (/^(?:GET|HEAD) /.test(data.subarray(0, 5).toString('latin1'))) this.requests += 1;
      });
      to.on('data', (data) => (this.bytes += data.byteLength));
      from.pipe(to).pipe(from);
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Bytes, once what is over has gone. */
async function heap(): Promise<number> {
  for (let round = 0; round < 3; round += 1) {
    await sleep(100);
    global.gc?.();
  }
  return process.memoryUsage().heapUsed;
}

function sayResident(): void {
  say(
    `highest resident memory, of this process with proxy and pushing: ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`,
  );
}

async function measure<T>(what: string, counter: Counter, work: () => Promise<T>): Promise<T> {
  [counter.requests, counter.bytes, counter.connections] = [0, 0, 0];
  const before = await heap();
  const began = performance.now();
  const result = await work();
  const seconds = (performance.now() - began) / 1000;
  const kept = ((await heap()) - before) / 1024;
  const columns = [
    what,
    counter.requests,
    counter.connections,
    `${(counter.bytes / 1024).toFixed(1)} KiB`,
    `${seconds.toFixed(3)} s`,
    `${kept.toFixed(0)} KiB`,
  ];
  say(`| ${columns.join(' | ')} |`);
  return result;
}

function open(host: string, url: string, credential?: object): OciRegistry {
  const text = credential === undefined ? null : JSON.stringify({ auths: { [host]: credential } });
  return new OciRegistry({
    settings: { host, url, insecure: false, timeout: 10_000 },
    credentials: () => Promise.resolve(text),
    logger: pino({ level: 'silent' }),
  });
}

async function outcome(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'works',
    (error: unknown) => String(error),
  );
}

async function plain(): Promise<void> {
  const server = await DockerRegistry.start();
  const pushing = new Pushing(server.url, NAME);
  const began = performance.now();
  const names = Array.from({ length: IMAGES }, (_, at) => `w_2076_${at + 10}`);
  const dailies = Array.from({ length: TAGS - IMAGES }, (_, at) => `d_2076_${String(at).padStart(5, '0')}`);
  await pushing.tag(dailies, 'one image');
  for (const name of names.slice(1)) await pushing.image(name, `image ${name}`);
  await pushing.index(names[0] ?? '', ['arm64', 'amd64'], 'index');
  say(`${TAGS} tags were pushed in ${((performance.now() - began) / 1000).toFixed(0)} s`);
  const counter = new Counter(server.port);
  const registry = open(server.host, await counter.listen());
  say('| | requests | connections | received | time | kept on the heap |\n|---|---|---|---|---|---|');
  const find = (all: readonly string[], known: readonly (FoundImage | null)[] = []) =>
    Promise.all(all.map((tag, at) => registry.findImage(NAME, tag, { signal, known: known[at] ?? undefined })));
  const tags = await measure(`first list of ${TAGS} tags`, counter, () => registry.listTags(NAME, signal));
  if (tags.length !== TAGS) throw new Error(`expected ${TAGS} tags, not ${tags.length}`);
  const first = await measure(`first look at ${IMAGES} tags`, counter, () => find(names));
  await measure(`second list of ${TAGS} tags`, counter, () => registry.listTags(NAME, signal));
  await measure(`second look at ${IMAGES} tags`, counter, () => find(names, first));
  const moved = await pushing.image(names[1] ?? '', 'moved');
  const third = await measure('the same, of which one has moved', counter, () => find(names, first));
  say(
    `moved: ${third[1]?.digest === moved}; an index: ${JSON.stringify(third[0]?.architectures)}, ${third[0]?.size} bytes`,
  );
  await pushing.remove(moved);
  const fourth = await measure('the same, of which one is deleted', counter, () => find(names, third));
  say(`deleted: ${fourth[1] === null}`);
  sayResident();
  const all = await measure('first look at all tags', counter, () => find(tags));
  await measure('second look at all tags', counter, () => find(tags, all));
  await server.stop();
  say(
    `down: ${await measure('a list while the registry is down', counter, () => outcome(registry.listTags(NAME, signal)))}`,
  );
  await server.resume();
  say(`back: ${await outcome(registry.listTags(NAME, signal))}`);
  sayResident();
  await registry.close();
  await counter.close();
  await pushing.close();
  await server.close();
}

async function withNames(): Promise<void> {
  const { username, password } = HTPASSWD;
  const server = await DockerRegistry.start((folder) => `{ htpasswd: { realm: tests, path: "${folder}/htpasswd" } }`);
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const pushing = new Pushing(server.url, NAME, () => Promise.resolve(basic));
  await pushing.image('1', 'words');
  const counter = new Counter(server.port);
  const url = await counter.listen();
  for (const given of [password, 'wrong']) {
    const registry = open(server.host, url, { username, password: given });
    const list = () => outcome(registry.listTags(NAME, signal));
    say(await measure(`Basic, ${given === password ? 'right' : 'wrong'}`, counter, list));
    await registry.close();
  }
  await counter.close();
  await pushing.close();
  await server.close();
}

/** Looks for ten seconds at images with tokens that are over after two, though they are said to last for an hour. */
async function withTokens(): Promise<void> {
  const { username, password } = HTPASSWD;
  const tokens = await TokenServer.start({ username, password, lifeS: 2 });
  tokens.claimedLifeS = 3600;
  const server = await DockerRegistry.start(() => tokens.auth);
  const scope = `repository:${NAME}:pull,push`;
  const pushing = new Pushing(server.url, NAME, () => Promise.resolve(`Bearer ${tokens.token([scope], 60)}`));
  const names = Array.from({ length: IMAGES }, (_, at) => `w_${at}`);
  await pushing.tag(names, 'words');
  const counter = new Counter(server.port);
  const registry = open(server.host, await counter.listen(), { username, password });
  let works = 0;
  await measure('ten seconds with tokens of two', counter, async () => {
    const end = performance.now() + 10_000;
    while (performance.now() < end) {
      await registry.listTags(NAME, signal);
      await Promise.all(names.map((name) => registry.findImage(NAME, name, { signal })));
      works += 1 + names.length;
    }
  });
  say(`${works} works, ${tokens.server.seen.length} tokens, no failure`);
  await registry.close();
  await counter.close();
  await pushing.close();
  await server.close();
  await tokens.close();
}

if (whyNoDockerRegistry !== undefined) {
  process.stderr.write(`\nNOT RUN: ${whyNoDockerRegistry}.\n`);
  process.exitCode = 1;
} else {
  await plain();
  await withNames();
  await withTokens();
}
