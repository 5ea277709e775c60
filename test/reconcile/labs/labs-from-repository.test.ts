import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { buildObjectName } from '../../../src/domain/build/build-intent.ts';
import { BuildProblem } from '../../../src/domain/build/build.ts';
import type { LabEvent } from '../../../src/domain/lab/lab.ts';
import type { CreateLab } from '../../../src/reconcile/labs/lab-service.ts';
import { Jobs, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { Gate, said } from '../builds/gate.ts';
import { aRepository, aRequest, BuildSetting, type BuildSettingOptions, resolved } from '../builds/setting.ts';
import { Setting, type SettingOptions } from '../support/controller.ts';
import { aConfig, aKey, aLab, type LabChange } from '../support/labs.ts';
import { until } from '../support/until.ts';

const EVENTS_MS = 40_000;
const [FIRST, SECOND] = ['1'.repeat(40), '2'.repeat(40)] as const;

let cluster: TestCluster;
let builds: BuildSetting;
let labs: Setting;
const gates: Gate[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.end();
  await labs.close();
  await builds.close();
});
afterAll(async () => {
  await cluster.close();
});

/** One controller of labs and builds. */
async function set(ofBuilds: BuildSettingOptions = {}, ofLabs: SettingOptions = {}): Promise<void> {
  builds = await BuildSetting.create(cluster, ofBuilds);
  labs = await Setting.create(cluster, { builds: () => builds.builds, ...ofLabs });
}

async function stop(): Promise<void> {
  await labs.stop();
  await builds.stop();
}

async function start(): Promise<void> {
  await builds.start();
  await labs.start();
}

/** A lab whose image is built from a branch. */
function fromRepository({ ref = 'main', ...change }: LabChange & { readonly ref?: string } = {}): CreateLab {
  const repository = aRepository();
  const lab = aLab({ ...change, image: '' });
  return {
    ...lab,
    options: { ...lab.options, image: repository.url },
    image: { reference: '', name: repository.url, digest: '' },
    source: { repository, ref, path: '' },
  };
}

function aGate(): Gate {
  const gate = new Gate();
  gates.push(gate);
  return gate;
}

/** A build that says when it has begun and waits for the test. */
function aHeldBuild(): { readonly gate: Gate; readonly options: BuildSettingOptions } {
  const gate = aGate();
  gate.write(said('STEP 1/2: FROM base'));
  return { gate, options: { scripts: () => gate.script() } };
}

async function end(gate: Gate): Promise<void> {
  gate.end();
  await labs.untilPhase('running');
}

const events = (username = 'ada') => labs.events(aKey(username), undefined, EVENTS_MS);
const messages = (all: readonly LabEvent[]) => all.map(({ message }) => message);
const terminal = (all: readonly LabEvent[]) =>
  all.filter(({ type }) => type === 'complete' || type === 'failed').map(({ type }) => type);

function expectForward(all: readonly LabEvent[]): void {
  const progress = all.flatMap((event) => event.progress ?? []);
  expect(progress).toEqual(progress.toSorted((one, other) => one - other));
}

async function untilSaid(pattern: RegExp): Promise<void> {
  for await (const { message } of labs.labs.events(aKey(), undefined, AbortSignal.timeout(EVENTS_MS)) ?? []) {
    if (pattern.test(message)) return;
  }
  throw new Error(`Nothing was said like ${String(pattern)}`);
}

/** The image that the pod of a lab runs. */
async function imageOfPod(username = 'ada'): Promise<string | undefined> {
  return (await labs.pod(aKey(username)))?.spec?.containers[0]?.image;
}

/** Some time that the build is promised without a reader is over. */
async function endPromise(id: string): Promise<void> {
  const ref = { namespace: builds.namespace, name: buildObjectName(id) };
  const annotations = { 'labwright.dev/wanted-until': new Date(0).toISOString() };
  await cluster.client.patch(Jobs, ref, { metadata: { annotations } });
}

async function onlyBuild() {
  const state = await until('there is a build', () => builds.builds.list()[0]);
  expect(builds.builds.list()).toHaveLength(1);
  return state;
}

describe('a lab from a repository', () => {
  it('goes through its build and its own start, forward only and with one end, and runs the digest', async () => {
    const gate = aGate();
    gate.write(
      said("Cloning into '/tmp/repo'...", 'fetching'),
      said('STEP 1/2: FROM base'),
      said('Downloading something-1.0.whl (66 kB)'),
      said('STEP 2/2: RUN pip install'),
      said('Pushing it', 'pushing'),
    );
    await set({ scripts: () => gate.script() });
    await labs.labs.create(fromRepository());
    expect(labs.state()).toMatchObject({ status: 'pending', phase: 'building', internalUrl: null });
    await untilSaid(/^Pushing the image/);
    gate.end();
    const all = await events();
    expect(terminal(all)).toEqual(['complete']);
    expectForward(all);
    const told = messages(all);
    const wanted = [
      /^Looking for main of https:\/\/github\.com\/ada\/notebooks$/,
      /^Queued \(position/,
      /^Admitted; starting/,
      /^Cloning into/,
      /^STEP 1\/2/,
      /^STEP 2\/2/,
      /^Pushing the image/,
      /^Asking the registry/,
      /^Created Kubernetes objects/,
    ];
    const found = wanted.map((pattern) => told.findIndex((message) => pattern.test(message)));
    expect(found).not.toContain(-1);
    expect(found).toEqual(found.toSorted((one, other) => one - other));
    expect(told.join()).not.toContain('Downloading');
    const { image } = await onlyBuild();
    expect(image).toMatch(/^127\.0\.0\.1:\d+\/[^@:]+@sha256:[0-9a-f]{64}$/);
    expect(await imageOfPod()).toBe(image);
    expect(labs.state().spec).toMatchObject({ image: { reference: image }, options: { image } });
  });

  it('is started without a build where the registry has the image', async () => {
    await set();
    await builds.build();
    const jobs = await builds.jobs();
    await labs.labs.create(fromRepository({ username: 'grace' }));
    expect(terminal(await events('grace'))).toEqual(['complete']);
    expect((await builds.jobs()).map(({ metadata }) => metadata?.uid)).toEqual(
      jobs.map(({ metadata }) => metadata?.uid),
    );
    expect(await imageOfPod('grace')).toContain('@sha256:');
  });

  it('shares its build with others who want the same', async () => {
    const { gate, options } = aHeldBuild();
    await set(options);
    await Promise.all(['ada', 'grace'].map((username) => labs.labs.create(fromRepository({ username }))));
    for (const username of ['ada', 'grace']) await labs.untilEvent('STEP 1/2: FROM base', aKey(username));
    await onlyBuild();
    gate.end();
    for (const username of ['ada', 'grace']) expect(terminal(await events(username))).toEqual(['complete']);
    expect(await imageOfPod('grace')).toBe(await imageOfPod('ada'));
    expect(await builds.jobs()).toHaveLength(1);
  });

  it('has its time for starting from when the image is there', async () => {
    const { gate, options } = aHeldBuild();
    await set(options, { config: aConfig({ spawnTimeout: '3s' }) });
    await labs.labs.create(fromRepository());
    const { spec } = labs.state();
    await labs.untilEvent('STEP 1/2: FROM base');
    await until('a lab with an image would have failed', () => Date.now() > spec.deadline + 500);
    expect(labs.state()).toMatchObject({ phase: 'building', reason: null });
    await end(gate);
    expect(labs.state().spec.deadline).toBeGreaterThan(spec.deadline);
  });
});

describe('a lab whose image cannot be had', () => {
  it('fails with the reason of its build', async () => {
    await set({ faults: [{ fault: 'buildFails' }] });
    await labs.labs.create(fromRepository());
    const all = await events();
    expect(terminal(all)).toEqual(['failed']);
    expect(all.at(-2)?.message).toMatch(/^The image was not built\. ./);
    expect(labs.state()).toMatchObject({ status: 'failed', reason: 'BuildFailed' });
    await labs.untilCleaned();
  });

  it.each(['RefNotFound', 'RepositoryNotAllowed', 'RegistryDenied'] as const)(
    'fails at once with %s, which does not pass by itself',
    async (reason) => {
      const message = 'That cannot be had.';
      await set({
        resolve() {
          throw new BuildProblem({ reason, message });
        },
      });
      await labs.labs.create(fromRepository({ ref: 'gone' }));
      expect(terminal(await events())).toEqual(['failed']);
      expect(labs.state()).toMatchObject({ status: 'failed', reason, message });
      expect(await builds.jobs()).toEqual([]);
    },
  );

  it('waits for a registry that does not answer, and goes on when it does', async () => {
    await set();
    await builds.registry.setFault({ kind: 'down' });
    await labs.labs.create(fromRepository());
    await untilSaid(/^The registry /);
    await builds.registry.setFault(null);
    expect(terminal(await events())).toEqual(['complete']);
  });

  it('waits for an API server that does not take its build, and goes on when it does', async () => {
    await set();
    builds.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'jobs' ? 'reset-before' : 'pass';
    await labs.labs.create(fromRepository());
    await untilSaid(/^The Kubernetes API does not answer/);
    builds.proxy.onCall = () => 'pass';
    expect(terminal(await events())).toEqual(['complete']);
  });

  it('fails when the registry does not come back within its time', async () => {
    await set({}, { config: aConfig({ spawnTimeout: '1s' }) });
    await builds.registry.setFault({ kind: 'down' });
    await labs.labs.create(fromRepository());
    expect(terminal(await events())).toEqual(['failed']);
    expect(labs.state().reason).toBe('RegistryUnavailable');
  });

  it('fails where images are not built any more', async () => {
    const { options } = aHeldBuild();
    await set(options);
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    await labs.restart({ builds: () => undefined });
    expect(await labs.untilPhase('failed')).toMatchObject({ reason: 'BuildFailed' });
  });

  it('fails when its build is cancelled', async () => {
    const { options } = aHeldBuild();
    await set(options);
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    await builds.builds.cancel((await onlyBuild()).spec.id, 'root');
    expect(terminal(await events())).toEqual(['failed']);
    expect(labs.state().reason).toBe('Cancelled');
  });
});

describe('a lab that is deleted while its image is built', () => {
  it('is gone at once, and its build ends when nobody waits for it', async () => {
    const { options } = aHeldBuild();
    await set({ ...options, config: { abandonAfter: '100ms' } });
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    const { spec } = await onlyBuild();
    await labs.labs.delete(aKey());
    await labs.untilForgotten();
    expect(builds.state(spec.id).phase).not.toBe('cancelled');
    await endPromise(spec.id);
    expect(await builds.untilPhase(spec.id, 'cancelled')).toMatchObject({ reason: 'Abandoned' });
    await builds.untilClean(spec.id);
  });

  it('leaves its build to others who wait for it', async () => {
    const { gate, options } = aHeldBuild();
    await set({ ...options, config: { abandonAfter: '100ms' } });
    for (const username of ['ada', 'grace']) await labs.labs.create(fromRepository({ username }));
    for (const username of ['ada', 'grace']) await labs.untilEvent('STEP 1/2: FROM base', aKey(username));
    const { spec } = await onlyBuild();
    await labs.labs.delete(aKey());
    await endPromise(spec.id);
    gate.end();
    expect(terminal(await events('grace'))).toEqual(['complete']);
  });

  it('takes its request back where there is no build yet', async () => {
    await set();
    await builds.registry.setFault({ kind: 'hang' });
    await labs.labs.create(fromRepository());
    await labs.untilEvent(`Looking for main of ${aRepository().url}`);
    await labs.labs.delete(aKey());
    await labs.untilForgotten();
    await builds.registry.setFault(null);
    expect(await builds.jobs()).toEqual([]);
  });
});

describe('a controller that is started again', () => {
  /** A repository whose branch moves with every look. */
  function aMovingBranch(): NonNullable<BuildSettingOptions['resolve']> {
    const heads = [FIRST, SECOND, SECOND, SECOND];
    return (repository, ref) => resolved(repository, ref, heads.length > 1 ? heads.shift() : heads[0]);
  }

  it('goes on with a lab that was accepted and not looked at', async () => {
    await set();
    builds.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'jobs' ? 'reset-before' : 'pass';
    await labs.labs.create(fromRepository());
    await stop();
    builds.proxy.onCall = () => 'pass';
    await start();
    expect(terminal(await events())).toEqual(['complete']);
  });

  it('stays with the commit of a build that waits for its turn, though the branch has moved', async () => {
    await set({ resolve: aMovingBranch(), kubelet: false });
    await labs.labs.create(fromRepository());
    const { spec } = await onlyBuild();
    await until('the build is noted at the lab', async () => {
      const intent = await cluster.client.get(Secrets, labs.intentRef());
      return intent?.metadata?.annotations?.['labwright.dev/image-build']?.includes(FIRST);
    });
    await stop();
    await start();
    await labs.untilEvent('Waiting to be scheduled.');
    expect(builds.builds.list().map((build) => build.spec.id)).toEqual([spec.id]);
    expect(spec.repository.commit).toBe(FIRST);
  });

  it('finds a lab again whose build has ended meanwhile', async () => {
    const { gate, options } = aHeldBuild();
    await set({ ...options, resolve: aMovingBranch() });
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    const { spec } = await onlyBuild();
    await labs.stop();
    gate.end();
    await builds.untilPhase(spec.id, 'ready');
    await builds.restart();
    await labs.start();
    expect(terminal(await events())).toEqual(['complete']);
    expect(await imageOfPod()).toBe(builds.state(spec.id).image);
  });

  it('asks for the same commit again when the build itself is gone', async () => {
    const { gate } = aHeldBuild();
    // What becomes of the pod of the first one differs between clusters: its image must not be what the lab gets.
    const scripts = [gate.script({ push: false })];
    await set({ scripts: () => scripts.pop(), resolve: aMovingBranch() });
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    const { spec } = await onlyBuild();
    await stop();
    gate.end();
    const ref = { namespace: builds.namespace, name: buildObjectName(spec.id) };
    await cluster.client.delete(Jobs, ref, { propagationPolicy: 'Background' });
    await until('the Job is gone', async () => (await cluster.client.get(Jobs, ref)) === undefined);
    await start();
    expect(terminal(await events())).toEqual(['complete']);
    expect((await onlyBuild()).spec).toMatchObject({ id: spec.id, repository: { commit: FIRST } });
  });

  it('does not take a build for abandoned because it was away for long', async () => {
    const { gate, options } = aHeldBuild();
    await set({ ...options, config: { abandonAfter: '100ms' } });
    await labs.labs.create(fromRepository());
    await labs.untilEvent('STEP 1/2: FROM base');
    const { spec } = await onlyBuild();
    await stop();
    await endPromise(spec.id);
    await start();
    await end(gate);
  });

  it('makes the lab of an image that was noted, and looks for no other', async () => {
    await set({ resolve: aMovingBranch() });
    labs.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'namespaces' ? 'reset-before' : 'pass';
    await labs.labs.create(fromRepository());
    const noted = await until('the image is noted', () => labs.state().spec.image.reference || undefined);
    await stop();
    labs.proxy.onCall = () => 'pass';
    await start();
    await labs.untilPhase('running');
    expect(await imageOfPod()).toBe(noted);
    expect(await builds.jobs()).toHaveLength(1);
  });
});

it('a controller that stops lets go of a wait, and the build stays with the cluster', async () => {
  const { options } = aHeldBuild();
  await set(options);
  await labs.labs.create(fromRepository());
  await labs.untilEvent('STEP 1/2: FROM base');
  const { spec } = await onlyBuild();
  await stop();
  await start();
  // Another one can join what goes on.
  expect((await builds.request(aRequest())).spec.id).toBe(spec.id);
});
