import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BuildEvent, BuildSpec } from '../../../src/domain/build/build.ts';
import { labelledSpec } from '../../../src/builder/build/build-container.ts';
import { pushImage } from '../../../sandbox/registry/push.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { FakeEngine, serveEngine } from '../../storage/docker-engine/support/fake-engine.ts';
import { until } from '../support/until.ts';
import { engine, executorsOf, home } from './executors-support.ts';
import { Gate } from './gate.ts';
import { aRepository, BuildSetting, type BuildSettingOptions } from './setting.ts';

let cluster: TestCluster;
let docker: FakeEngine;
let served: Awaited<ReturnType<typeof serveEngine>>;
let setting: BuildSetting;
let gate: Gate;

beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  gate.end();
  await setting.close();
  await served.close();
});
afterAll(async () => {
  await cluster.close();
});

async function set(options: BuildSettingOptions): Promise<void> {
  gate = new Gate();
  setting = await BuildSetting.create(cluster, { scripts: () => gate.script(), quarantineMs: 200, ...options });
}

async function serve(): Promise<string> {
  docker = new FakeEngine();
  docker.images.add('registry.example/builder:1');
  served = await serveEngine(docker);
  return served.address;
}

async function untilPlaces(...names: string[]): Promise<void> {
  await until(`${names.join()} can take builds`, () => {
    const places = setting.nth(0).pool.places();
    return places.map(({ name }) => name).join() === names.join();
  });
}

/** What the containers there build, as far as they run. */
function built(): (BuildSpec & { readonly container: string })[] {
  return [...docker.containers.values()]
    .filter(({ status }) => status === 'running')
    .flatMap(({ id, body }) => {
      const spec = labelledSpec(body.Labels ?? {});
      return spec === undefined ? [] : [{ ...spec, container: id }];
    });
}

/** The container of a build there does what it should. */
async function finish(id: string): Promise<void> {
  const spec = await until('it runs on the engine', () => built().find((each) => each.id === id));
  await pushImage(spec.image, spec.id, { signal: AbortSignal.timeout(5_000) });
  docker.end(spec.container, 0);
}

function end(events: readonly BuildEvent[]): BuildEvent | undefined {
  return events.at(-1);
}

describe('an engine beside the cluster', () => {
  it('takes as many builds as it may, and the cluster takes those beyond', async () => {
    const address = await serve();
    const config = { queue: { running: 3, perRepository: 3 } };
    await set({ config, executors: executorsOf(engine(address, 2), home(1)) });
    await untilPlaces('engine', 'home');
    const names = ['a', 'b', 'c', 'd'];
    const asked = await Promise.all(
      names.map((name) => setting.request({ repository: aRepository(`ada/${name}`), username: name })),
    );
    await until('all places are taken', async () => built().length === 2 && (await setting.pods()).length === 1);
    const waiting = asked.filter(({ spec }) => setting.state(spec.id).phase === 'queued');
    expect(waiting).toHaveLength(1);
    const [first] = built();
    await finish(first?.id ?? '');
    expect(end(await setting.events(first?.id ?? ''))).toMatchObject({ type: 'ready' });
    await finish(waiting[0]?.spec.id ?? '');
    expect(end(await setting.events(waiting[0]?.spec.id ?? ''))).toMatchObject({ type: 'ready' });
    expect(await setting.pods()).toHaveLength(1);
  });

  it('that is away is passed over until it is back', async () => {
    const address = await serve();
    await set({ executors: executorsOf(engine(address), home()) });
    await untilPlaces('engine', 'home');
    docker.faults.set('POST /containers/create', 'reset');
    gate.end();
    const { spec } = await setting.request();
    expect(end(await setting.events(spec.id))).toMatchObject({ type: 'ready' });
    expect(setting.log.join('')).toContain('an executor cannot start builds');
    await untilPlaces('engine', 'home');
    const next = await setting.request({ repository: aRepository('ada/next') });
    await finish(next.spec.id);
    expect(end(await setting.events(next.spec.id))).toMatchObject({ type: 'ready' });
  });

  it('knows its builds after a restart', async () => {
    const address = await serve();
    await set({ executors: executorsOf(engine(address), home()) });
    await untilPlaces('engine', 'home');
    const { spec } = await setting.request();
    await until('it runs on the engine', () => built().length === 1);
    await setting.restart();
    await finish(spec.id);
    expect(end(await setting.events(spec.id))).toMatchObject({ type: 'ready' });
    await until('its container is removed', () => docker.containers.size === 0);
    expect(docker.requests.filter((line) => line.endsWith('/create'))).toHaveLength(1);
    expect(await setting.pods()).toEqual([]);
  });
});

describe('an engine that has to fetch the image of the builder first', () => {
  it('holds up no other build meanwhile, and the build can be cancelled', async () => {
    const address = await serve();
    docker.images.clear();
    docker.holdsPulls = true;
    // More of them than builds are worked on at once.
    const config = { queue: { running: 20, perUser: 20, perRepository: 20 } };
    await set({ config, executors: executorsOf(engine(address, 12), home()) });
    await untilPlaces('engine', 'home');
    const names = Array.from({ length: 12 }, (_, index) => `ada/n${index}`);
    const slow: string[] = [];
    for (const name of names) slow.push((await setting.request({ repository: aRepository(name) })).spec.id);
    await until('all images are being fetched', () => docker.heldPulls === 12);
    gate.end();
    expect(end(await setting.build({ repository: aRepository('ada/quick') }))).toMatchObject({ type: 'ready' });
    for (const id of slow) expect(setting.state(id).phase).toBe('pulling');
    const [first = ''] = slow;
    await setting.builds.cancel(first, 'ada');
    expect(end(await setting.events(first))).toMatchObject({ type: 'cancelled' });
    await until('its image is not fetched any more', () => docker.heldPulls === 11);
    for (const id of slow) await setting.builds.cancel(id, 'ada');
    await until('nothing goes on there', () => docker.heldPulls === 0);
    expect(docker.containers.size).toBe(0);
  });

  it('is given up when the total deadline of the build has passed', async () => {
    const address = await serve();
    docker.images.clear();
    docker.holdsPulls = true;
    await set({ config: { deadlines: { total: '1s' } }, executors: executorsOf(engine(address)) });
    await untilPlaces('engine');
    const { spec } = await setting.request();
    expect(end(await setting.events(spec.id))).toMatchObject({ type: 'failed', reason: 'DeadlineExceeded' });
    await until('nothing goes on there', () => docker.heldPulls === 0);
  });
});

describe('an engine alone', () => {
  it('takes builds whose Jobs are the queue: they stay suspended, and go when their time is over', async () => {
    const address = await serve();
    const config = { queue: { running: 1 }, retention: '1s' };
    await set({ config, executors: executorsOf(engine(address)) });
    const first = await setting.request({ repository: aRepository('ada/first') });
    await until('it runs on the engine', () => built().length === 1);
    const second = await setting.request({ repository: aRepository('ada/second'), username: 'grace' });
    expect(setting.state(second.spec.id)).toMatchObject({ phase: 'queued', position: 1 });
    expect((await setting.jobs()).map(({ spec }) => spec?.suspend)).toEqual([true, true]);
    await finish(first.spec.id);
    expect(end(await setting.events(first.spec.id))).toMatchObject({ type: 'ready' });
    await finish(second.spec.id);
    expect(end(await setting.events(second.spec.id))).toMatchObject({ type: 'ready' });
    expect(await setting.pods()).toEqual([]);
    await until('the Jobs are gone', async () => (await setting.jobs()).length === 0);
    expect(docker.containers.size).toBe(0);
  });

  it('says why builds wait while it has not answered', async () => {
    const address = await serve();
    await served.close();
    await set({ executors: executorsOf(engine(address)) });
    const { spec } = await setting.request();
    const outages = await until('it is said', () =>
      setting.builds.outages().length > 0 ? setting.builds.outages() : false,
    );
    expect(outages).toMatchObject([{ executor: 'engine' }]);
    // It is shown to whoever asks for /readyz.
    expect(JSON.stringify(outages)).not.toContain(served.address);
    const reader = new AbortController();
    const messages: string[] = [];
    for await (const event of setting.builds.events(spec.id, undefined, reader.signal) ?? []) {
      if (event.type === 'phase') messages.push(event.message);
      if (messages.length > 0) break;
    }
    expect(messages[0]).toMatch(/^Queued \(position 1\)\. No builds can be started at the moment: .+[^.]\.$/);
    served = await serveEngine(docker);
  });
});
