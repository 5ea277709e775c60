import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerName } from '../../../../../src/builder/build/build-container.ts';
import { canary } from '../../../../support/canary.ts';
import { waitFor } from '../../../../support/wait-for.ts';
import { FakeEngine, serveEngine } from '../../../../storage/docker-engine/support/fake-engine.ts';
import {
  buildsConfig,
  buildSpec,
  NO_SECRETS,
  type RunningExecutor,
  startAndWait,
  startExecutor,
} from '../../docker-executor-support.ts';

describe('the executor for Docker-compatible engines', () => {
  let engine: FakeEngine;
  let server: { address: string; close(): Promise<void> };
  let running: RunningExecutor;
  const config = buildsConfig({ backend: { kind: 'socket', path: '/run/engine.sock' } });

  beforeEach(async () => {
    engine = new FakeEngine();
    server = await serveEngine(engine);
    running = startExecutor({ address: server.address, config });
    await waitFor('the first picture', 5_000, () =>
      running.executor.isReady && engine.listeners > 0 ? true : undefined,
    );
  });

  afterEach(async () => {
    await running.end();
    await server.close();
  });

  it('gives the secrets before it starts the container, and in nothing else', async () => {
    const spec = buildSpec('notebooks');
    const git = { 'git-credentials': `https://ada:${canary('git')}@git.example.org` };
    await startAndWait(running.executor, spec, { dockerConfig: null, git });
    const steps = engine.requests
      .filter((line) => /create|archive|start$/.test(line))
      .map((line) => line.split('/').at(-1));
    expect(steps).toEqual(['create', 'archive', 'start']);
    expect(engine.uploads.join('')).toContain(canary('git'));
    expect(JSON.stringify([...engine.containers.values()])).not.toContain('canary');
    expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'running', end: null });
  });

  it('asks for one container, however often it is told to start it', async () => {
    const spec = buildSpec('notebooks');
    await Promise.all([1, 2, 3].map(() => startAndWait(running.executor, spec, NO_SECRETS)));
    await startAndWait(running.executor, spec, NO_SECRETS);
    expect(engine.requests.filter((line) => line.endsWith('/create'))).toHaveLength(1);
  });

  it.each(['POST /containers/create', 'PUT /containers', 'POST /containers/0'])(
    'leaves nothing behind when %s fails, and the next attempt succeeds',
    async (call) => {
      const spec = buildSpec('notebooks');
      engine.faults.set(call, 500);
      await expect(startAndWait(running.executor, spec, NO_SECRETS)).rejects.toMatchObject({
        name: 'ExecutorUnavailable',
      });
      expect(engine.containers.size).toBe(0);
      expect(running.executor.observe(spec.id)).toBeUndefined();
      await startAndWait(running.executor, spec, NO_SECRETS);
      expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'running' });
    },
  );

  it('does not take the container of an earlier attempt for this one', async () => {
    const spec = buildSpec('notebooks', 1_000);
    await startAndWait(running.executor, spec, NO_SECRETS);
    engine.end(containerName(spec.id), 1);
    await waitFor('the end', 5_000, () => running.executor.observe(spec.id)?.end ?? undefined);
    await startAndWait(running.executor, { ...spec, createdAt: 2_000 }, NO_SECRETS);
    expect(engine.containers.size).toBe(1);
    expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'running', end: null });
  });

  it('leaves alone what has the name and is not a build', async () => {
    const spec = buildSpec('notebooks');
    const foreign = { id: 'f', name: containerName(spec.id), body: {}, status: 'running', exitCode: 0 } as const;
    engine.containers.set('f', { ...foreign });
    await expect(startAndWait(running.executor, spec, NO_SECRETS)).rejects.toMatchObject({ reason: 'NameTaken' });
    await running.executor.stop(spec);
    expect(engine.containers.get('f')).toEqual(foreign);
  });

  it('hears of an end that came while the stream of events was broken', async () => {
    const spec = buildSpec('notebooks');
    await startAndWait(running.executor, spec, NO_SECRETS);
    engine.faults.set('GET /containers/json', 'reset');
    engine.hangUp();
    engine.end(containerName(spec.id), 3);
    const end = await waitFor('the end', 5_000, () => running.executor.observe(spec.id)?.end ?? undefined);
    expect(end.reason).toBe('BuildFailed');
    expect(running.changes.at(-1)).toBe(spec.id);
  });

  it('says that a container has vanished which somebody has removed in an outage', async () => {
    const spec = buildSpec('notebooks');
    await startAndWait(running.executor, spec, NO_SECRETS);
    engine.hangUp();
    engine.containers.clear();
    const end = await waitFor('the end', 5_000, () => running.executor.observe(spec.id)?.end ?? undefined);
    expect(end.reason).toBe('DeletedExternally');
    await running.executor.stop(spec);
    expect(running.executor.observe(spec.id)).toBeUndefined();
  });

  it('fetches the image of the builder with the credentials of its registry', async () => {
    engine.images.clear();
    const auth = Buffer.from(`ada:${canary('registry')}`).toString('base64');
    const dockerConfig = JSON.stringify({ auths: { 'registry.example.org': { auth } } });
    await startAndWait(running.executor, buildSpec('notebooks'), { dockerConfig, git: {} });
    const [header = ''] = engine.pulls;
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
      username: 'ada',
      password: canary('registry'),
      serveraddress: 'registry.example.org',
    });
  });

  it('says once that the engine is away, and once that it is back', async () => {
    await server.close();
    await waitFor('the outage', 5_000, () => running.executor.lastError);
    await expect(startAndWait(running.executor, buildSpec('notebooks'), NO_SECRETS)).rejects.toMatchObject({
      name: 'ExecutorUnavailable',
    });
    await waitFor('another attempt', 5_000, () => (running.logged.length > 0 ? true : undefined));
    expect(running.logged).toHaveLength(1);
    server = await serveEngine(engine);
  });

  it('refuses a BuildKit beside the build, which needs a pod', async () => {
    await running.end();
    running = startExecutor({
      address: server.address,
      config: buildsConfig({ backend: { kind: 'buildkit', image: 'b:1' } }),
    });
    await expect(running.executor.start(buildSpec('notebooks'), NO_SECRETS)).rejects.toThrow('needs a pod');
  });
});
