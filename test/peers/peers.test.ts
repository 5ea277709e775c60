import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EventSource } from 'eventsource';
import { pino } from 'pino';
import { chromium } from 'playwright-core';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.ts';
import { parseConfig } from '../../src/config/index.ts';
import type { LabEvent } from '../../src/domain/lab/lab.ts';
import { type RunningServer, startServer } from '../../src/routes/server/server.ts';
import { sleep } from '../../src/util/sleep.ts';
import { NUBLADO_VALUES } from '../cli/import-samples.ts';
import { runImport } from '../cli/importing.ts';
import { aConfig, aLabState, fakeLabs, testApp, TOKENS } from '../routes/support.ts';
import { freePort } from '../support/free-port.ts';

/**
 * Labwright as other people's software reads it: the software itself, over a socket. `.ci/peers FOLDER` makes the Pythons, one for each
 * version of Nublado's library; PEERS names the folder.
 */
const PEERS = process.env.PEERS;
const NUBLADO_VERSIONS = 3;
const pythons =
  PEERS === undefined
    ? []
    : readdirSync(PEERS)
        .filter((name) => name.startsWith('nublado-'))
        .map((name) => join(PEERS, name, 'bin/python'))
        .filter((python) => existsSync(python));
if (pythons.length < NUBLADO_VERSIONS) {
  process.stdout.write(
    `\nNOT RUN: Nublado's libraries in ${NUBLADO_VERSIONS} versions: PEERS names no folder that .ci/peers has made with all of them.\n`,
  );
}

/** Where Debian puts it; another one can be named in CHROMIUM. */
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(CHROMIUM))
  process.stdout.write('\nNOT RUN: the EventSource of a browser: there is no Chromium here.\n');

/** As long as several signs of life take. */
const QUIET_MS = 150;
const started: LabEvent = { id: 'a-1', type: 'info', message: 'Starting lab creation for ada', progress: 1 };
const pulling: LabEvent = { id: 'a-2', type: 'info', message: 'Pulling', progress: 50 };
const complete: LabEvent = { id: 'a-3', type: 'complete', message: 'Lab Kubernetes pod started for ada' };

/** What an EventSource is asked for, and what it is to be given. */
const TYPES = ['message', 'info', 'complete', 'failed', 'error'];
const SEEN = [
  'a-1 info {"message": "Starting lab creation for ada", "progress": 1}',
  'a-2 info {"message": "Pulling", "progress": 50}',
  'a-3 complete {"message": "Lab Kubernetes pod started for ada"}',
];

let server: RunningServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A Labwright with one lab, in whose spawn nothing happens for a while after each event. */
async function labwright(): Promise<string> {
  async function* events(): AsyncGenerator<LabEvent> {
    for (const event of [started, pulling]) {
      yield event;
      await sleep(QUIET_MS);
    }
    yield complete;
  }
  const port = await freePort();
  const url = `http://127.0.0.1:${String(port)}`;
  const { app } = testApp({
    config: aConfig({ baseUrl: url }),
    labs: fakeLabs([aLabState()], { events }),
    keepAliveMs: 10,
  });
  server = await startServer({ app, host: '127.0.0.1', port, logger: pino({ level: 'silent' }) });
  return `${url}/labwright`;
}

describe.skipIf(pythons.length < NUBLADO_VERSIONS)("Nublado's libraries", () => {
  it.each(pythons)(
    'find the controller, and read the events and nothing else: %s',
    async (python) => {
      const url = await labwright();
      const script = join(import.meta.dirname, 'nublado_plugin.py');
      const { stdout } = await promisify(execFile)(python, [script, url, TOKENS.ada, 'ada'], { timeout: 60_000 });
      // Before it may be what the libraries log.
      const answer = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { controller: string; events: unknown[] };
      expect(answer.controller.replace(/\/$/, '')).toBe(url);
      expect(answer.events).toEqual([
        { id: 'a-1', type: 'info', data: '{"message": "Starting lab creation for ada", "progress": 1}' },
        { id: 'a-2', type: 'info', data: '{"message": "Pulling", "progress": 50}' },
        { id: 'a-3', type: 'complete', data: '{"message": "Lab Kubernetes pod started for ada"}' },
      ]);
    },
    90_000,
  );

  it.each(pythons)(
    'write the file of service discovery before a lab: %s',
    async (python) => {
      const url = await labwright();
      const { stdout } = await runImport('nublado', NUBLADO_VALUES);
      const container = parseConfig(stdout).lab.initContainers.find(({ name }) => name === 'lab-discovery');
      const script = container?.command?.at(-2) ?? '';
      const folder = await mkdtemp(join(tmpdir(), 'labwright-discovery-'));
      onTestFinished(() => rm(folder, { recursive: true }));
      const file = join(folder, 'v1.json');
      const env = { ...process.env, REPERTOIRE_BASE_URL: url };
      await promisify(execFile)(python, ['-c', script, file], { env, timeout: 60_000 });
      expect(JSON.parse(await readFile(file, 'utf8'))).toBeTypeOf('object');
      // Where nothing answers, the lab starts without it.
      const nowhere = { ...env, REPERTOIRE_BASE_URL: `http://127.0.0.1:${String(await freePort())}` };
      const { stderr } = await promisify(execFile)(python, ['-c', script, `${file}.none`], { env: nowhere });
      expect(stderr).toContain('no service discovery');
      expect(existsSync(`${file}.none`)).toBe(false);
    },
    90_000,
  );
});

describe.skipIf(!existsSync(CHROMIUM))('the EventSource of a browser', () => {
  it('is given the events and nothing else', { timeout: 60_000 }, async () => {
    const url = await labwright();
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    onTestFinished(() => browser.close());
    const page = await browser.newPage({
      // Pages of Labwright may connect to nothing, and an EventSource sends no headers of its own.
      bypassCSP: true,
      extraHTTPHeaders: { authorization: `Bearer ${TOKENS.ada}` },
    });
    await page.goto(`${url}/openapi.json`);
    const path = `${url}/spawner/v1/labs/ada/events`;
    const seen = await page.evaluate<string[]>(`new Promise((resolve) => {
      const events = [];
      const source = new EventSource(${JSON.stringify(path)});
      for (const type of ${JSON.stringify(TYPES)}) {
        source.addEventListener(type, (event) => {
          if (event.data !== undefined) events.push(event.lastEventId + ' ' + event.type + ' ' + event.data);
          if (type !== 'complete') return;
          source.close();
          resolve(events);
        });
      }
    })`);
    expect(seen).toEqual(SEEN);
  });
});

describe('an EventSource', () => {
  it('is given the events and nothing else', async () => {
    const url = await labwright();
    const source = new EventSource(`${url}/spawner/v1/labs/ada/events`, {
      fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${TOKENS.ada}` } }),
    });
    const seen: string[] = [];
    for (const type of TYPES) {
      source.addEventListener(type, (event) => {
        if (event instanceof MessageEvent) seen.push(`${event.lastEventId} ${event.type} ${String(event.data)}`);
      });
    }
    await new Promise<void>((resolve) => source.addEventListener('complete', () => resolve()));
    source.close();
    expect(seen).toEqual(SEEN);
  });
});
