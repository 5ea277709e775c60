import { BinderRepository } from '@jupyterhub/binderhub-client/client.js';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import '../../support/leaks.ts';
import type { BuildService } from '../../../src/reconcile/builds/build-service.ts';
import { type RunningServer, startServer } from '../../../src/routes/server/server.ts';
import { aBuildState, buildApp, endless, EVENTS, fakeBuilds, PINNED, READY, until } from '../builds/build-support.ts';
import { TOKENS } from '../support.ts';

/** What `jupyterhub-fancy-profiles` does with the client: it writes every message, and takes the image's name at the end. */
type Line = Readonly<Record<string, unknown>>;

let server: RunningServer | undefined;
afterEach(() => server?.close());

async function client(builds: BuildService) {
  const logger = pino({ level: 'silent' });
  server = await startServer({ app: buildApp(builds).app, host: '127.0.0.1', port: 0, logger });
  // The client is for browsers, and asks them whether the page is visible.
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('document', { cookie: '', hidden: false, addEventListener() {}, removeEventListener() {} });
  const endpoint = new URL(`http://127.0.0.1:${String(server.address.port)}/labwright/build/`);
  return new BinderRepository('gh/ada/notebooks/feature/x', endpoint, { apiToken: TOKENS.ada, buildOnly: true });
}

/** All lines up to the one that ends it. */
async function linesOf(repository: BinderRepository): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of repository.fetch()) {
    lines.push(line);
    if (line['phase'] === 'ready' || line['phase'] === 'failed') break;
  }
  repository.close();
  return lines;
}

describe("BinderHub's own client", () => {
  afterEach(() => void vi.unstubAllGlobals());

  it('is told how the image is built, line by line, and what it is called', async () => {
    const builds = fakeBuilds();
    const lines = await linesOf(await client(builds));
    expect(builds.requests).toMatchObject([{ username: 'ada', ref: 'feature/x' }]);
    expect(lines.map(({ phase }) => phase)).toEqual([
      ...['waiting', 'waiting', undefined, 'fetching', 'building', 'pushing', 'ready'],
    ]);
    expect(lines.map(({ message }) => message)).toContain('Cloning into Zoë\n');
    expect(lines.at(-1)).toMatchObject({ imageName: PINNED, cached: false });
    expect(EVENTS.length).toBe(lines.length);
  });

  it('is told of an image that is there in one line', async () => {
    const lines = await linesOf(await client(fakeBuilds([aBuildState({ ...READY, cached: true })])));
    expect(lines).toMatchObject([{ phase: 'ready', imageName: PINNED, message: 'Done! Found built image\n' }]);
  });

  it('ends the stream by closing it', async () => {
    vi.spyOn(console, 'log').mockReturnValue(undefined);
    const { seen, events } = endless(EVENTS.slice(0, 3));
    const repository = await client(fakeBuilds(undefined, { events }));
    for await (const { message } of repository.fetch()) {
      if (message === 'Picked Git content provider.\n') break;
    }
    repository.close();
    await until(() => seen.ended === 1);
  });
});
