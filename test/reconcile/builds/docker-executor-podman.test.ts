import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { containerName } from '../../../src/builder/build/build-container.ts';
import type { DockerExecutor } from '../../../src/reconcile/builds/executors/docker/docker-executor.ts';
import type { ObservedRun } from '../../../src/reconcile/builds/executors/executor.ts';
import { canary } from '../../support/canary.ts';
import { waitFor } from '../../support/wait-for.ts';
import {
  Podman,
  sayNotRun,
  TEST_IMAGE,
  whyNoPodman,
  whyNoUserNamespaces,
} from '../../storage/docker-engine/support/podman.ts';
import {
  buildsConfig,
  buildSpec,
  NO_SECRETS,
  type Settings,
  startAndWait,
  startExecutor,
} from './docker-executor-support.ts';

/** The last argument is the repository; each does one thing. */
const REPO2DOCKER = `
for last; do :; done
case "$last" in
  */talks) echo one; echo two >&2; head -c 70000 /dev/zero | tr '\\0' x; echo; printf 'broken \\377 text\\n'; printf 'no end' ;;
  */secrets)
    ls /run/labwright; stat -c '%a %n' /run/labwright/secrets/*; stat -f -c %T /run/labwright/secrets
    grep -c canary /run/labwright/secrets/config.json ;;
  */counts) n=0; while [ $n -lt 10000 ]; do n=$((n+1)); echo "line $n"; done ;;
  */fails) echo 'it fails' >&2; exit 3 ;;
  */eats) tail /dev/zero ;;
  */sleeps) echo begun; sleep 600 ;;
  */stubborn) trap '' TERM; echo begun; while :; do sleep 0.1; done ;;
  */confined) grep -E 'NoNewPrivs' /proc/self/status; cat /proc/self/uid_map; id ;;
esac
`;

if (whyNoPodman !== undefined) sayNotRun('builds on a real engine', whyNoPodman);
if (whyNoUserNamespaces !== undefined) sayNotRun('a build in a user namespace of podman', whyNoUserNamespaces);

describe.skipIf(whyNoPodman !== undefined)('builds on a real engine', () => {
  let podman: Podman;
  let executor: DockerExecutor;
  let end: () => Promise<void>;

  function begin(settings: Settings = {}): void {
    const backend = { kind: 'socket', path: podman.socket } as const;
    const config = buildsConfig({ image: TEST_IMAGE, backend, ...settings });
    const running = startExecutor({ address: `unix://${podman.socket}`, config });
    executor = running.executor;
    end = () => running.end();
  }

  function ended(id: string): Promise<ObservedRun> {
    return waitFor('the end of the build', 15_000, () => {
      const run = executor.observe(id);
      return run?.stage === 'ended' ? run : undefined;
    });
  }

  async function logOf(id: string, since: string | null = null): Promise<string[]> {
    return linesOf(await executor.openLog(id, { since, follow: true }, new AbortController().signal));
  }

  beforeAll(async () => {
    podman = await Podman.start(REPO2DOCKER);
  });

  afterEach(async () => {
    try {
      for (const run of [...executor.runs()]) await executor.stop(run);
    } finally {
      await end();
    }
  });

  afterAll(async () => {
    await podman.close();
  });

  it('runs one to its end and has its log, line by line', async () => {
    begin();
    const spec = buildSpec('talks');
    await startAndWait(executor, spec, NO_SECRETS);
    const run = await ended(spec.id);
    expect(run).toMatchObject({ end: null, hasLog: true, node: 'engine' });
    expect(run.endedAt).toBeGreaterThanOrEqual(run.startedAt ?? Number.POSITIVE_INFINITY);
    const lines = await logOf(spec.id);
    const expected = ['one', 'two', 'x'.repeat(70_000), 'broken \u{fffd} text', 'no end'];
    // stdout and stderr are two pipes: nobody knows which line came first.
    expect(lines.map(textOf).sort()).toEqual(expected.sort());
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /);
  });

  it('delivers a log of 10,000 lines once and in order, also from a moment on', async () => {
    begin();
    const spec = buildSpec('counts');
    await startAndWait(executor, spec, NO_SECRETS);
    const all = Array.from({ length: 10_000 }, (_, n) => `line ${n + 1}`);
    const lines = await logOf(spec.id);
    expect(lines.map(textOf)).toEqual(all);
    const since = lines[5000]?.split(' ')[0] ?? '';
    const rest = (await logOf(spec.id, since)).map(textOf);
    expect(rest).toEqual(all.slice(-rest.length));
    expect(rest.length).toBeGreaterThanOrEqual(5000);
  });

  it('says with which exit code one has failed', async () => {
    begin();
    const spec = buildSpec('fails');
    await startAndWait(executor, spec, NO_SECRETS);
    expect((await ended(spec.id)).end).toEqual({ reason: 'BuildFailed', message: 'The build ended with exit code 3.' });
  });

  it('tells that memory was short from any other end', async () => {
    begin({ memory: '48Mi' });
    const spec = buildSpec('eats');
    await startAndWait(executor, spec, NO_SECRETS);
    expect((await ended(spec.id)).end).toMatchObject({ reason: 'OOMKilled' });
  });

  it('ends one whose time is over, though nobody watches and it does not want to end', async () => {
    begin({ total: '2s' });
    const spec = buildSpec('stubborn');
    await startAndWait(executor, spec, NO_SECRETS);
    await end();
    const name = containerName(spec.id);
    await waitFor('the container to end', 15_000, async () =>
      (await podman.command('inspect', '--format={{.State.Status}}', name)).trim() === 'exited' ? true : undefined,
    );
    begin({ total: '2s' });
    expect((await ended(spec.id)).end).toMatchObject({ reason: 'DeadlineExceeded' });
  });

  it('finds what another one has started, with its log, and leaves nothing of it when it stops it', async () => {
    begin();
    const spec = buildSpec('sleeps');
    await startAndWait(executor, spec, { dockerConfig: `{"auths":{"${canary('engine')}":{}}}`, git: {} });
    await end();
    begin();
    await waitFor('the build', 10_000, () => executor.observe(spec.id));
    expect(executor.observe(spec.id)).toMatchObject({ stage: 'running', end: null });
    await startAndWait(executor, spec, NO_SECRETS);
    expect((await podman.command('ps', '--all', '--quiet')).trim().split('\n')).toHaveLength(1);
    const log = await executor.openLog(spec.id, { since: null, follow: true }, new AbortController().signal);
    const first = (await log[Symbol.asyncIterator]().next()) as IteratorResult<Buffer>;
    expect(textOf(String(first.value))).toBe('begun\n');
    log.destroy();
    await executor.stop(spec);
    expect(executor.observe(spec.id)).toBeUndefined();
    expect(await podman.command('ps', '--all', '--quiet')).toBe('');
    expect(await podman.command('volume', 'ls', '--quiet')).toBe('');
    expect(await filesWith(podman.folder, canary('engine'))).toEqual([]);
  });

  it('keeps its secrets off the disk once it runs, and out of what the engine tells', async () => {
    begin();
    const spec = buildSpec('secrets');
    const dockerConfig = `{"auths":{"registry.example.org":{"auth":"${canary('engine')}"}}}`;
    await startAndWait(executor, spec, { dockerConfig, git: { gitconfig: '[core]\n' } });
    await ended(spec.id);
    expect((await logOf(spec.id)).map(textOf)).toEqual([
      'secrets',
      '400 /run/labwright/secrets/config.json',
      '400 /run/labwright/secrets/gitconfig',
      'tmpfs',
      '1',
    ]);
    expect(await podman.command('inspect', containerName(spec.id))).not.toContain('canary');
    expect(await filesWith(podman.folder, canary('engine'))).toEqual([]);
  });

  it('notices that somebody has killed a container, or removed it', async () => {
    begin();
    const [killed, removed] = [buildSpec('sleeps'), buildSpec('stubborn')];
    await Promise.all([killed, removed].map((spec) => startAndWait(executor, spec, NO_SECRETS)));
    await podman.command('kill', containerName(killed.id));
    await podman.command('rm', '--force', '--time=0', '--volumes', containerName(removed.id));
    expect((await ended(killed.id)).end).toMatchObject({ reason: 'DeletedExternally' });
    expect((await ended(removed.id)).end).toMatchObject({ reason: 'DeletedExternally' });
  });

  it('goes on after the engine was away', async () => {
    begin();
    const spec = buildSpec('sleeps');
    await startAndWait(executor, spec, NO_SECRETS);
    await waitFor('the first picture', 10_000, () => (executor.isReady ? true : undefined));
    await podman.stopServing();
    await waitFor('the outage to be noticed', 10_000, () => executor.lastError);
    expect(executor.observe(spec.id)).toMatchObject({ stage: 'running' });
    await expect(startAndWait(executor, buildSpec('talks'), NO_SECRETS)).rejects.toThrow('cannot be reached');
    await podman.command('kill', containerName(spec.id));
    await podman.serve();
    expect((await ended(spec.id)).end).toMatchObject({ reason: 'DeletedExternally' });
    expect(executor.lastError).toBeUndefined();
  });

  it('gives up on an image that the engine cannot have', async () => {
    begin({ image: 'localhost:1/nothing:1' });
    const spec = buildSpec('talks');
    await expect(startAndWait(executor, spec, NO_SECRETS)).rejects.toMatchObject({ name: 'ExecutorUnavailable' });
    expect(executor.observe(spec.id)).toBeUndefined();
  });

  it.skipIf(whyNoUserNamespaces !== undefined)('confines one in a user namespace of its own', async () => {
    begin({ backend: { kind: 'buildah' } });
    const spec = buildSpec('confined');
    await startAndWait(executor, spec, NO_SECRETS);
    expect((await ended(spec.id)).end).toBeNull();
    const [privileges, ids, user] = (await logOf(spec.id)).map(textOf);
    expect(privileges).toMatch(/NoNewPrivs:\s+1/);
    const [inside, outside] = (ids ?? '').trim().split(/\s+/).map(Number);
    expect(inside).toBe(0);
    expect(outside).toBeGreaterThan(0);
    expect(user).toContain('uid=0');
  });
});

function textOf(line: string): string {
  return line.slice(line.indexOf(' ') + 1);
}

async function linesOf(log: Readable): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of log) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString().split('\n').slice(0, -1);
}

/** Paths of files in podman's own folders that contain a text. */
async function filesWith(folder: string, text: string): Promise<string[]> {
  const found: string[] = [];
  for (const part of ['root', 'run']) {
    const entries = await readdir(join(folder, part), { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((each) => each.isFile())) {
      const file = join(entry.parentPath, entry.name);
      const content = await readFile(file).catch(() => Buffer.alloc(0));
      if (content.includes(text)) found.push(file);
    }
  }
  return found;
}
