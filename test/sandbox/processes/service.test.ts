import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../support/free-port.ts';
import { waitFor } from '../../support/wait-for.ts';
import { LabApi, type LabView as State, type StreamEvent } from '../../support/lab-api.ts';
import { aFolder, closeAll, closeLater, DEADLINE_MS, ended, LAB, type LabView, lives } from './support.ts';

/** `npm start -- --with-local-labs` as a person runs it, with a program in the place of JupyterHub's server. */
const MAIN = join(import.meta.dirname, '../../../src/main.ts');
const IMAGE = 'localhost/jupyterlab:local';

afterEach(closeAll);

/** An empty folder, or one where the program of the labs is installed. */
async function aCheckout(content: 'empty' | 'installed' = 'installed'): Promise<string> {
  const folder = await aFolder();
  if (content === 'installed') await install(folder);
  return folder;
}

async function install(folder: string): Promise<void> {
  await mkdir(join(folder, '.venv', 'bin'), { recursive: true });
  const file = join(folder, '.venv', 'bin', 'jupyterhub-singleuser');
  await writeFile(file, `#!${process.execPath}\n${LAB}`);
  await chmod(file, 0o755);
}

function run(folder: string, args: readonly string[]): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [MAIN, '--with-local-labs', ...args], {
    cwd: folder,
    env: { ...process.env, SECRET_OF_THE_PARENT: 'hidden' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output };
}

async function aService(folder: string) {
  const port = await freePort();
  const { child, output } = run(folder, ['--port', String(port)]);
  const closed = once(child, 'close');
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await closed;
  };
  closeLater(() => end('SIGKILL'));
  await waitFor('the greeting', DEADLINE_MS, () => (output().includes('Labwright is running') ? true : undefined));
  const token = (await readFile(join(folder, '.labwright', 'hub-token'), 'utf8')).trim();
  const env = (username: string) => ({ JUPYTERHUB_SERVICE_URL: `http://:8888/user/${username}/` });
  const api = new LabApi({ url: `http://127.0.0.1:${port}/labwright`, token, image: IMAGE, size: 'small', env });
  closeLater(() => api.close());
  return { api, token, output, end, pid: child.pid ?? 0 };
}

function labThat(api: LabApi, username: string, isWanted: (lab: State) => boolean): Promise<State> {
  return waitFor('the lab to be as wanted', DEADLINE_MS, async () => {
    const lab = await api.get(username);
    return lab !== undefined && isWanted(lab) ? lab : undefined;
  });
}

async function aRunningLab(api: LabApi, username = 'ada') {
  expect(await api.create(username)).toBe(201);
  const { internal_url: url } = await labThat(api, username, ({ status }) => status === 'running');
  const ask = async (path: string) => {
    const answer = await fetch(new URL(path, url ?? ''), { headers: { connection: 'close' } });
    return (await answer.json()) as LabView;
  };
  return { ask, ...(await ask('/child')) };
}

/** The process beside the service that waits for its end. */
async function guardOf(service: number): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
    const [command, status] = await Promise.all([read('cmdline'), read('status')]);
    if (command.includes('guard.ts') && status.includes(`PPid:\t${service}\n`)) return Number(pid);
  }
  throw new Error('There is no guard');
}

describe('the service with local labs', () => {
  it('runs a lab for whomever the hub names, without any secret of its own, and stops it', async () => {
    const folder = await aCheckout();
    const { api, token, output } = await aService(folder);
    const { pid, env, cwd, child = 0 } = await aRunningLab(api, 'grace');
    expect(cwd).toBe(join(folder, '.labwright', 'homes', 'grace'));
    expect(env).not.toHaveProperty('SECRET_OF_THE_PARENT');
    expect(JSON.stringify(env)).not.toContain(token);
    expect(await api.delete('grace')).toBe(204);
    expect([pid, child].filter(lives)).toEqual([]);
    expect(output()).not.toContain(token);
    expect((await stat(join(folder, '.labwright', 'hub-token'))).mode & 0o777).toBe(0o600);
  });

  it('tells of a lab that crashes, with a sentence', async () => {
    const { api } = await aService(await aCheckout());
    const { ask } = await aRunningLab(api);
    await ask('/exit?code=3').catch(() => undefined);
    expect(await labThat(api, 'ada', ({ status }) => status === 'failed')).toMatchObject({
      reason: 'Error',
      message: "The lab's process ended with exit code 3.",
    });
  });

  it('tells in the events of a lab that its command is missing, and runs it when it has been installed', async () => {
    const folder = await aCheckout('empty');
    const { api } = await aService(folder);
    expect(await api.create('ada')).toBe(201);
    const events: StreamEvent[] = [];
    for await (const event of api.events('ada')) events.push(event);
    expect(events.at(-1)?.type).toBe('failed');
    expect(events.map(({ message }) => message).join('\n')).toContain(
      'exec: "jupyterhub-singleuser": executable file not found in $PATH',
    );
    await install(folder);
    await aRunningLab(api);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('leaves no process behind when it ends by %s', async (signal) => {
    const { api, end } = await aService(await aCheckout());
    const { pid, child = 0 } = await aRunningLab(api);
    await end(signal);
    await Promise.all([ended(pid), ended(child)]);
  });

  it('ends at its next start what was left behind when its guard was killed with it', async () => {
    const folder = await aCheckout();
    const { api, end, pid: service } = await aService(folder);
    const { pid, child = 0 } = await aRunningLab(api);
    process.kill(await guardOf(service), 'SIGKILL');
    await end('SIGKILL');
    expect([pid, child].filter(lives)).toEqual([pid, child]);
    await aService(folder);
    expect([pid, child].filter(lives)).toEqual([]);
  });

  it.each([
    [['--host', '0.0.0.0'], 2, /labwright: --with-local-labs: expected to listen on 127\.0\.0\.1/],
    [['--host', '::'], 2, /labwright: --with-local-labs: expected to listen on 127\.0\.0\.1/],
    [['--config', 'config.yaml', '--sandbox'], 2, /not on 0\.0\.0\.0: whoever can create a lab runs commands/],
  ])('is refused where others could reach it: %j', async (args, code, sentence) => {
    const folder = await aCheckout('empty');
    const config = {
      baseUrl: 'https://hub.example.org',
      auth: { tokens: [{ role: 'hub', sha256: '0'.repeat(64) }] },
      images: { list: [{ reference: IMAGE }] },
      lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
    };
    await writeFile(join(folder, 'config.yaml'), JSON.stringify(config));
    const { child, output } = run(folder, args);
    expect(await once(child, 'close')).toEqual([code, null]);
    expect(output()).toMatch(sentence);
    expect(await readdir(folder)).toEqual(['config.yaml']);
  });

  it('is refused beside another one in the same folder, whose token stays', async () => {
    const folder = await aCheckout();
    const { token } = await aService(folder);
    const { child, output } = run(folder, ['--port', String(await freePort())]);
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(output()).toMatch(/^labwright: another program runs local labs in this folder.*\n$/);
    expect((await readFile(join(folder, '.labwright', 'hub-token'), 'utf8')).trim()).toBe(token);
  });
});
