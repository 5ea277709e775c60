import { createHash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import '../support/leaks.ts';
import { resolveRuntime } from '../../src/app/runtime.ts';
import { serve } from '../../src/app/serve.ts';
import type { ConfigInput } from '../../src/config/index.ts';
import { closeAll, closeLater } from '../sandbox/processes/support.ts';
import { canary } from '../support/canary.ts';
import { LabApi, type StreamEvent } from '../support/lab-api.ts';
import { waitFor } from '../support/wait-for.ts';
import { ConfigFolder } from './config-folder.ts';

const TOKEN = canary('reload-admin');
const SECRET = canary('reload-secret');
const IMAGE = 'example.org/lab:1';
const SMALL = { name: 'small', cpu: 1, memory: '1Gi' };
const LARGE = { name: 'large', cpu: 2, memory: '2Gi' };
const PATIENCE_MS = 15_000;

const STARTED = {
  baseUrl: 'http://127.0.0.1',
  logLevel: 'error',
  auth: { tokens: [{ sha256: createHash('sha256').update(TOKEN).digest('hex'), role: 'admin' }] },
  users: { defaults: { uid: 1000, gid: 1000 } },
  images: { list: [{ reference: IMAGE }] },
  lab: { sizes: [SMALL], env: { PLANTED: SECRET } },
} satisfies ConfigInput;

afterEach(closeAll);

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The whole program on the sandbox, with its configuration where a ConfigMap would be. */
async function aProgram(config: ConfigInput = STARTED) {
  const folder = await ConfigFolder.create(JSON.stringify(config));
  const runtime = await resolveRuntime({
    ...{ command: 'serve', config: folder.file, sandbox: true, sandboxFaults: undefined, withLocalLabs: false },
    ...{ host: '127.0.0.1', port: 0 },
  });
  const lines: Line[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  const source = { path: folder.file, text: '', ...runtime.source, lookMs: 10 };
  const halt = new AbortController();
  const served = serve({ ...runtime, logger, source }, halt.signal);
  closeLater(async () => {
    halt.abort();
    await served;
    await runtime.cluster.close();
    expect(JSON.stringify(lines)).not.toContain(SECRET);
  });
  const listening = await said('listening');
  const url = `http://127.0.0.1:${String(listening['port'])}`;
  const api = new LabApi({ url: `${url}/labwright`, token: TOKEN, image: IMAGE, size: 'small' });
  closeLater(() => api.close());

  function said(text: string, from = 0): Promise<Line> {
    return waitFor(`the log to say: ${text}`, PATIENCE_MS, () =>
      lines.slice(from).find(({ msg }) => msg.includes(text)),
    );
  }

  async function ask(path: string, body?: object) {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', connection: 'close' };
    const init = body === undefined ? { headers } : { headers, method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`${url}${path}`, init);
    return { status: answer.status, text: await answer.text() };
  }

  return {
    ...{ folder, api, lines, ask, said },
    /** Changes the file and waits until the log says so. */
    async change(next: object | string, expected: string): Promise<Line> {
      const before = lines.length;
      await folder.publish(typeof next === 'string' ? next : JSON.stringify(next));
      return said(expected, before);
    },
    form: async () => (await ask('/labwright/spawner/v1/lab-form/ada')).text,
    create: (username: string, size: string, image = IMAGE) =>
      ask(`/labwright/spawner/v1/labs/${username}/create`, {
        options: { size: [size], image_list: [image] },
        env: { JUPYTERHUB_SERVICE_PREFIX: `/user/${username}/` },
      }),
    /** What `/readyz` says of the file. */
    async health() {
      const { status, text } = await ask('/readyz');
      const { components } = JSON.parse(text) as { components: { component: string }[] };
      return { status, ...components.find(({ component }) => component === 'configuration') };
    },
  };
}

it('offers and starts what a changed file has, and leaves alone what runs', async () => {
  const program = await aProgram();
  await program.api.spawn('ada');
  const before = await program.api.get('ada');
  expect(before?.status).toBe('running');
  expect((await program.create('grace', 'large')).status).toBe(422);

  const images = { list: [{ reference: 'example.org/lab:2' }] };
  const line = await program.change({ ...STARTED, images, lab: { sizes: [LARGE] } }, 'configuration has changed');
  expect(line).toMatchObject({ level: 30, changed: ['images', 'lab'], atNextStart: [] });

  const form = await program.form();
  expect(form).toContain('value="large"');
  expect(form).not.toContain('value="small"');
  expect(form).toContain('example.org/lab:2');
  expect((await program.create('grace', 'large', 'example.org/lab:2')).status).toBe(201);
  await waitFor('the lab of the new size', PATIENCE_MS, async () => {
    const lab = await program.api.get('grace');
    return lab?.status === 'running' ? lab : undefined;
  });
  expect(await program.api.get('ada')).toEqual(before);
  expect((await program.ask('/openapi.json')).text).toContain('[lL][aA][rR][gG][eE]');
  expect(await program.health()).toMatchObject({ status: 200, ready: true });
});

it('ends what has begun by the configuration that it has begun with', async () => {
  const program = await aProgram();
  const events: StreamEvent[] = [];
  expect(await program.api.create('ada')).toBe(201);
  const following = (async () => {
    for await (const event of program.api.events('ada')) events.push(event);
  })();
  await waitFor('the first event', PATIENCE_MS, () => events[0]);
  await program.change({ ...STARTED, lab: { sizes: [LARGE] } }, 'configuration has changed');
  await following;
  expect(events.at(-1)).toMatchObject({ type: 'complete' });
});

it('refuses a file that cannot be used, says so once and in /readyz, and takes it when it is mended', async () => {
  const program = await aProgram();
  const wrong = { ...STARTED, lab: { sizes: [{ ...LARGE, memory: SECRET }], surprise: SECRET } };
  const line = await program.change(wrong, 'cannot be used');
  expect(line).toMatchObject({
    level: 50,
    problems: [
      expect.stringMatching(/^lab\.sizes\[0\]\.memory \(line 1\): /),
      expect.stringMatching(/^lab\.surprise /),
    ],
  });
  const refused = await program.health();
  expect(refused).toMatchObject({
    status: 200,
    ready: false,
    notice: expect.stringContaining('cannot be used') as unknown,
  });
  expect(await program.form()).toContain('value="small"');
  expect((await program.api.spawn('ada')).last?.type).toBe('complete');

  await program.change({ ...STARTED, lab: { sizes: [SMALL, LARGE] } }, 'configuration has changed');
  expect(await program.form()).toContain('value="large"');
  expect(await program.health()).toEqual({ status: 200, component: 'configuration', ready: true });
  expect(program.lines.filter(({ level }) => level >= 50)).toHaveLength(1);
});

it.each([
  ['is no YAML', 'lab: [', /\(line 1\)/],
  [
    'asks for labs that Kubernetes would refuse',
    { ...STARTED, lab: { sizes: [SMALL], nodeSelector: { 'a b': 'c' } } },
    /nodeSelector/,
  ],
])('refuses a file that %s, and is content when it is as it was', async (_what, wrong, problem) => {
  const program = await aProgram();
  const line = await program.change(wrong, 'cannot be used');
  expect(line['problems']).toEqual(expect.arrayContaining([expect.stringMatching(problem)]));
  await program.change(STARTED, 'it says what is in use');
  expect(await program.health()).toEqual({ status: 200, component: 'configuration', ready: true });
});

it('goes on without the file, says so, and reads it when it is back', async () => {
  const program = await aProgram();
  await program.folder.withdraw();
  expect(await program.said('cannot be used')).toMatchObject({ problems: [expect.stringContaining('cannot be read')] });
  expect((await program.api.spawn('ada')).last?.type).toBe('complete');
  await program.change({ ...STARTED, lab: { sizes: [SMALL, LARGE] } }, 'configuration has changed');
  expect(await program.form()).toContain('value="large"');
});

it('says which keys take effect at the next start, until they are as they were, and uses the others', async () => {
  const program = await aProgram();
  const changed = { ...STARTED, pathPrefix: '/elsewhere', lab: { sizes: [LARGE], token: { source: 'none' as const } } };
  const line = await program.change(changed, 'configuration has changed');
  expect(line).toMatchObject({ changed: ['lab'], atNextStart: ['pathPrefix', 'lab.token'] });
  expect(line.msg).toContain('takes effect at the next start: pathPrefix, lab.token');
  expect(await program.health()).toMatchObject({
    ready: true,
    notice: 'Takes effect at the next start: pathPrefix, lab.token.',
  });
  expect(await program.form()).toContain('value="large"');
  await program.change(STARTED, 'configuration has changed');
  expect(await program.health()).toEqual({ status: 200, component: 'configuration', ready: true });
});

it('knows the users and bounds of a changed file', async () => {
  const program = await aProgram();
  expect((await program.api.spawn('ada')).last?.type).toBe('complete');
  await program.change({ ...STARTED, users: {} }, 'configuration has changed');
  expect((await program.create('grace', 'small')).text).toContain('Must have a UID');
  await program.change({ ...STARTED, quotas: { default: { cpu: 0.5, memory: '1Gi' } } }, 'configuration has changed');
  expect(await program.create('grace', 'small')).toMatchObject({
    status: 403,
    text: expect.stringContaining('quota') as unknown,
  });
  await program.change({ ...STARTED, limits: { labsPerUser: 1 } }, 'configuration has changed');
  const second = await program.ask('/labwright/spawner/v1/labs/ada/servers/two/create', {
    options: { size: ['small'], image_list: [IMAGE] },
    env: { JUPYTERHUB_SERVICE_PREFIX: '/user/ada/two/' },
  });
  expect(second).toMatchObject({ status: 403, text: expect.stringContaining('insufficient_quota') as unknown });
});

it('takes a file that is replaced or written anew where it is, no link and no ConfigMap', async () => {
  const program = await aProgram();
  const { file } = program.folder;
  await writeFile(`${file}.new`, JSON.stringify({ ...STARTED, lab: { sizes: [LARGE] } }));
  await rename(`${file}.new`, file);
  await program.said('configuration has changed');
  const before = program.lines.length;
  await rm(file);
  await writeFile(file, JSON.stringify({ ...STARTED, lab: { sizes: [SMALL] } }));
  await program.said('configuration has changed', before);
  expect(await program.form()).toContain('value="small"');
});
