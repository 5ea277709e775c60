import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerName } from '../../../../../src/builder/build/build-container.ts';
import { runContext } from '../../../../../src/util/run-context.ts';
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

  it('accepts a build at once whose image has to be fetched first, and tells that it is being prepared', async () => {
    engine.images.clear();
    engine.holdsPulls = true;
    const spec = buildSpec('notebooks');
    await running.executor.start(spec, NO_SECRETS);
    expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'preparing', createdAt: spec.createdAt });
    expect([...running.executor.runs()].map(({ id }) => id)).toEqual([spec.id]);
    await waitFor('the image is being fetched', 5_000, () => engine.heldPulls === 1 || undefined);
    await running.executor.start(spec, NO_SECRETS);
    engine.releasePulls();
    await waitFor('it runs', 5_000, () => running.executor.observe(spec.id)?.stage === 'running' || undefined);
    expect(engine.pulls).toHaveLength(1);
    expect(running.changes).toContain(spec.id);
  });

  it('ends the fetching of an image for a build that is stopped, and leaves nothing behind', async () => {
    engine.images.clear();
    engine.holdsPulls = true;
    const spec = buildSpec('notebooks');
    await running.executor.start(spec, NO_SECRETS);
    await waitFor('the image is being fetched', 5_000, () => engine.heldPulls === 1 || undefined);
    await running.executor.stop(spec);
    expect(running.executor.observe(spec.id)).toBeUndefined();
    await waitFor('nobody waits for the image', 5_000, () => engine.heldPulls === 0 || undefined);
    expect(engine.containers.size).toBe(0);
  });

  it('ends a start under way when the program stops, which is no failure of the engine', async () => {
    engine.images.clear();
    engine.holdsPulls = true;
    const spec = buildSpec('notebooks');
    await running.executor.start(spec, NO_SECRETS);
    await waitFor('the image is being fetched', 5_000, () => engine.heldPulls === 1 || undefined);
    await running.end();
    await waitFor('nobody waits for the image', 5_000, () => engine.heldPulls === 0 || undefined);
    await expect(running.executor.start(spec, NO_SECRETS)).rejects.toThrow('the test is over');
    expect(engine.containers.size).toBe(0);
  });

  it('goes on with a start when the run of the controller that asked for it has ended', async () => {
    engine.images.clear();
    engine.holdsPulls = true;
    const spec = buildSpec('notebooks');
    const run = new AbortController();
    await runContext.run({ id: 'run', signal: run.signal, mayWrite: () => true }, () =>
      running.executor.start(spec, NO_SECRETS),
    );
    await waitFor('the image is being fetched', 5_000, () => engine.heldPulls === 1 || undefined);
    run.abort(new Error('the run has ended'));
    engine.releasePulls();
    await waitFor('it runs', 5_000, () => running.executor.observe(spec.id)?.stage === 'running' || undefined);
  });

  it('makes no container once another replica leads, and holds that against nobody', async () => {
    engine.images.clear();
    engine.holdsPulls = true;
    const spec = buildSpec('notebooks');
    let leads = true;
    await runContext.run({ id: 'run', signal: new AbortController().signal, mayWrite: () => leads }, () =>
      running.executor.start(spec, NO_SECRETS),
    );
    await waitFor('the image is being fetched', 5_000, () => engine.heldPulls === 1 || undefined);
    leads = false;
    engine.releasePulls();
    await waitFor('the start has ended', 5_000, () => running.executor.observe(spec.id) === undefined || undefined);
    expect(engine.containers.size).toBe(0);
    // It leads again.
    await startAndWait(running.executor, spec);
    expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'running' });
  });

  it('tells what a start failed with once, to whoever asks for the same attempt again', async () => {
    const spec = buildSpec('notebooks');
    engine.faults.set('POST /containers/create', 500);
    await running.executor.start(spec, NO_SECRETS);
    await waitFor('it has failed', 5_000, () => running.executor.observe(spec.id) === undefined || undefined);
    expect(running.changes).toEqual([spec.id]);
    await expect(running.executor.start(spec, NO_SECRETS)).rejects.toMatchObject({ name: 'ExecutorUnavailable' });
    await startAndWait(running.executor, spec);
    expect(running.executor.observe(spec.id)).toMatchObject({ stage: 'running' });
  });

  it('leaves the container of the next attempt alone when one before it is stopped late', async () => {
    const [first, second] = [buildSpec('notebooks', 1_000), { ...buildSpec('notebooks'), createdAt: 2_000 }];
    const next = { ...second, id: first.id, key: first.key };
    await startAndWait(running.executor, first);
    engine.end(containerName(first.id), 1);
    await waitFor('the end', 5_000, () => running.executor.observe(first.id)?.end ?? undefined);
    await startAndWait(running.executor, next);
    const [container] = engine.containers.keys();
    await running.executor.stop(first);
    expect([...engine.containers.keys()]).toEqual([container]);
    expect(running.executor.observe(first.id)).toMatchObject({ stage: 'running', createdAt: 2_000 });
    await running.executor.stop(next);
    expect(engine.containers.size).toBe(0);
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
