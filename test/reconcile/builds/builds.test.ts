import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BuildEvent, BuildProblem } from '../../../src/domain/build/build.ts';
import { Jobs, Namespaces, Pods, Secrets, ServiceAccounts } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { aRepository, BuildSetting, type BuildSettingOptions } from './setting.ts';

const COMMIT = '50533eb470ee6c24e872043d30b2fee463d6943f';

let cluster: TestCluster;
let setting: BuildSetting;
const gates: Gate[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.end();
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

async function set(options: BuildSettingOptions = {}): Promise<BuildSetting> {
  setting = await BuildSetting.create(cluster, options);
  return setting;
}

function aGate(): Gate {
  const gate = new Gate();
  gates.push(gate);
  return gate;
}

function terminal(events: readonly BuildEvent[]): BuildEvent[] {
  return events.filter(({ type }) => type === 'ready' || type === 'failed' || type === 'cancelled');
}

function textOf(events: readonly BuildEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'log' ? [event.text] : []));
}

describe('a build', () => {
  it('goes from the queue to an image that the registry has, with every line in between', async () => {
    await set({ scripts: () => ({ lines: [said('one'), 'plain', said('two', 'pushing')] }) });
    const { spec, phase } = await setting.request();
    expect(phase).toBe('queued');
    const events = await setting.events(spec.id);
    expect(textOf(events)).toEqual(['one\n', 'plain\n', 'two\n']);
    const [end, ...others] = terminal(events);
    expect(others).toEqual([]);
    expect(events.at(-1)).toBe(end);
    const [, repository = '', tag = ''] = /^[^/]+\/([^:]+):(.+)$/.exec(spec.image) ?? [];
    expect(end).toMatchObject({ type: 'ready', digest: setting.registry.digestOf(repository, tag), cached: false });
    expect(setting.state(spec.id)).toMatchObject({
      phase: 'ready',
      image: expect.stringContaining('@sha256:') as string,
    });
    await setting.untilClean(spec.id);
  });

  it('is left as Kubernetes has finished it, with its pod and its log', async () => {
    await set();
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    await until('the Job is complete', async () => (await setting.jobs())[0]?.status?.succeeded === 1);
    expect((await setting.jobs())[0]?.spec?.suspend).toBe(false);
    expect((await setting.pods())[0]?.status?.phase).toBe('Succeeded');
  });

  it('does not begin where its commit is not given, and nobody is asked for that where the image is there', async () => {
    const asked: string[] = [];
    let isGiven = false;
    await set({
      checkCommit({ ref }) {
        asked.push(ref);
        const problem = new BuildProblem({ reason: 'RefNotFound', message: 'It is not given.' });
        return isGiven ? Promise.resolve() : Promise.reject(problem);
      },
    });
    await expect(setting.request()).rejects.toMatchObject({ code: 'unknown_repository', message: 'It is not given.' });
    expect(await setting.jobs()).toEqual([]);
    isGiven = true;
    await setting.build();
    await setting.request();
    expect(asked).toEqual(['main', 'main']);
  });

  it('says from its beginning to its end that the default branch is built in the place of another', async () => {
    await set({
      resolve: (repository, ref) => ({ ...repository, ref, commit: COMMIT, isFallback: true, binderSlug: '' }),
    });
    const sentence = 'There is no branch "main" in the repository: its default branch is built.';
    const { spec, asked } = await setting.request();
    expect(asked).toMatchObject({ isFallback: true });
    const [first, ...others] = await setting.events(spec.id);
    expect(first).toMatchObject({ type: 'phase', phase: 'queued', message: sentence });
    expect(others.at(-1)).toMatchObject({ type: 'ready', message: `The image is built. ${sentence}` });
    const again = await setting.request();
    expect((await setting.events(again.spec.id)).at(-1)).toMatchObject({
      message: expect.stringContaining(sentence) as string,
    });
  });

  it('is not built again as long as the registry has its image', async () => {
    await set();
    await setting.build();
    const again = await setting.request({ username: 'grace' });
    expect(again).toMatchObject({ phase: 'ready', cached: true });
    expect((await setting.events(again.spec.id)).at(-1)).toMatchObject({ type: 'ready' });
    expect(await setting.jobs()).toHaveLength(1);
  });

  it('keeps its log and who asked for it when its image is found for somebody else', async () => {
    await set();
    const { spec } = await setting.request({ username: 'ada' });
    const before = await setting.events(spec.id);
    await setting.untilClean(spec.id);
    const state = setting.state(spec.id);
    await setting.request({ username: 'grace' });
    expect(setting.state(spec.id)).toEqual(state);
    expect(setting.builds.list({ username: 'ada' })).toHaveLength(1);
    expect(setting.builds.list({ username: 'grace' })).toEqual([]);
    const texts = (events: typeof before) => events.flatMap((event) => (event.type === 'log' ? [event.text] : []));
    expect(texts(await setting.events(spec.id))).toEqual(texts(before));
  });

  it('is built again when its image has gone from the registry', async () => {
    await set();
    const first = await setting.request();
    await setting.events(first.spec.id);
    await setting.untilClean(first.spec.id);
    const { url } = setting.registry;
    const [, repository = ''] = /^[^/]+\/([^:]+):/.exec(first.spec.image) ?? [];
    const digest = setting.state(first.spec.id).image?.split('@')[1] ?? '';
    await fetch(`${url}/v2/${repository}/manifests/${digest}`, { method: 'DELETE' });
    const [uid] = (await setting.jobs()).map(({ metadata }) => metadata?.uid);
    const second = await setting.request();
    expect(second.cached).toBe(false);
    expect((await setting.events(second.spec.id)).at(-1)).toMatchObject({ type: 'ready', cached: false });
    expect((await setting.jobs()).map(({ metadata }) => metadata?.uid)).not.toContain(uid);
  });

  it('is one build for however many ask at once, at one controller or another, and each gets all of it', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    await setting.start();
    const asked = await Promise.all(
      Array.from({ length: 40 }, (_, index) => setting.request({ username: `user-${index}` }, index % 2)),
    );
    expect(new Set(asked.map(({ spec }) => spec.id)).size).toBe(1);
    const id = asked[0]?.spec.id ?? '';
    const reading = asked.map((_, index) => setting.events(id, undefined, index % 2));
    const lines = Array.from({ length: 500 }, (_, index) => said(`line ${index}`));
    gate.write(...lines);
    gate.end();
    for (const events of await Promise.all(reading)) {
      expect(textOf(events)).toEqual(lines.map((_, index) => `line ${index}\n`));
      expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
    }
    expect(await setting.jobs()).toHaveLength(1);
    expect(await setting.pods()).toHaveLength(1);
  });

  it('costs the API server nothing for those who join it', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    await setting.start();
    const { spec } = await setting.request();
    gate.write(said('it runs'));
    await until('the build runs', () => setting.state(spec.id).phase === 'building');
    const writes = () =>
      setting.proxy.requests.calls(0, ({ verb, resource }) => verb === 'patch' && resource === 'jobs');
    const before = writes().length;
    const joined = await Promise.all(
      Array.from({ length: 40 }, (_, index) => setting.request({ username: `user-${index}` }, index % 2)),
    );
    expect(new Set(joined.map((state) => state.spec.id))).toEqual(new Set([spec.id]));
    expect(writes()).toHaveLength(before);
    gate.end();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
  });

  it('fails with what repo2docker said, and a new request builds it anew', async () => {
    let works = false;
    await set({
      scripts: () =>
        works
          ? { lines: [said('now')] }
          : {
              lines: [said('first'), JSON.stringify({ message: 'Error during build: no such file', phase: 'failed' })],
              exitCode: 1,
            },
    });
    const { spec } = await setting.request();
    const events = await setting.events(spec.id);
    expect(textOf(events)).toHaveLength(2);
    expect(terminal(events)).toMatchObject([
      { type: 'failed', reason: 'BuildFailed', message: expect.stringContaining('no such file') as string },
    ]);
    works = true;
    const again = await setting.request();
    expect(again.spec.id).toBe(spec.id);
    expect(textOf(await setting.events(again.spec.id))).toEqual(['now\n']);
  });

  it('whose container ends before anybody saw it run gives all its lines', async () => {
    await set({ scripts: () => ({ lines: [said('a'), said('b')], exitCode: 1, exitBeforeRunning: true }) });
    const events = await setting.build();
    expect(textOf(events)).toEqual(['a\n', 'b\n']);
    expect(terminal(events)).toMatchObject([{ type: 'failed', reason: 'BuildFailed' }]);
  });

  it.each([
    ['imagePull', 'BuilderImageUnavailable'],
    ['unschedulable', 'Unschedulable'],
    ['oom', 'OOMKilled'],
    ['evict', 'Evicted'],
    ['vanish', 'DeletedExternally'],
  ] as const)('with the fault %s fails with reason %s and one sentence', async (fault, reason) => {
    await set({
      faults: [{ fault }],
      config: { deadlines: { scheduling: '2s' } },
    });
    const events = await setting.build();
    expect(terminal(events)).toMatchObject([
      { type: 'failed', reason, message: expect.stringMatching(/\.$/) as string },
    ]);
  });

  it('that is silent for too long fails, and is ended', async () => {
    await set({ scripts: () => ({ hang: true }), config: { deadlines: { noOutput: '1s' } } });
    const { spec } = await setting.request();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'failed', reason: 'NoOutput' }]);
    await setting.untilClean(spec.id);
  });

  it('that takes too long in all fails, and one that pushes too long', async () => {
    const [slow, pushing] = [aGate(), aGate()];
    await set({
      scripts: (url) => (url.endsWith('slow') ? slow.script() : pushing.script()),
      config: { deadlines: { total: '3s', push: '1s' } },
    });
    pushing.write(said('Pushing', 'pushing'));
    const [first, second] = await Promise.all([
      setting.build({ repository: aRepository('ada/slow') }),
      setting.build({ repository: aRepository('ada/pushing') }),
    ]);
    expect(terminal(first)).toMatchObject([{ type: 'failed', reason: 'DeadlineExceeded' }]);
    expect(terminal(second)).toMatchObject([{ type: 'failed', reason: 'PushTimeout' }]);
  });

  it.each([
    ['push-denied', 'RegistryDenied', 'The registry refuses the image', '403 (Forbidden)'],
    ['push-unknown', 'RegistryRepositoryMissing', 'The registry has no such repository', 'name unknown'],
    ['push-toolarge', 'LayerTooLarge', 'takes no layer of this size', '413 (Request Entity Too Large)'],
    ['push-tls', 'RegistryUnavailable', 'speaks plain HTTP', 'server gave HTTP response to HTTPS client'],
    ['base404', 'BaseImageNotFound', 'its registry does not have it', 'manifest unknown'],
    ['base429', 'RateLimited', 'its registry asks for fewer requests', 'toomanyrequests'],
  ])('fails for what the builder says: %s is %s', async (recording, reason, sentence, words) => {
    const text = await readFile(new URL(`builder-output/${recording}.jsonl`, import.meta.url), 'utf8');
    await set({ scripts: () => ({ lines: text.trim().split('\n'), exitCode: 1 }) });
    const [end] = terminal(await setting.build());
    expect(end).toMatchObject({ type: 'failed', reason });
    expect(end).toMatchObject({ message: expect.stringContaining(sentence) as string });
    expect(end).toMatchObject({ message: expect.stringContaining(words) as string });
  });

  it('that a builder of before says no more of than that its push has failed has the words of the registry', async () => {
    await set({ faults: [{ fault: 'pushFails' }] });
    const [end] = terminal(await setting.build());
    expect(end).toMatchObject({ type: 'failed', reason: 'PushFailed' });
    expect(end).toMatchObject({ message: expect.stringMatching(/authentication required$/) as string });
  });

  it('that says it is well and has not pushed is not ready', async () => {
    await set({ scripts: () => ({ lines: [said('fine')], push: false }), config: {} });
    expect(terminal(await setting.build())).toMatchObject([{ type: 'failed', reason: 'PushFailed' }]);
  });
});

describe('a build whose pod cannot go', () => {
  it('ends when it is cancelled, gives its slot back, and is built anew beside that', async () => {
    const gate = aGate();
    const scripts = [undefined, gate.script()];
    await set({ scripts: () => scripts.pop(), config: { queue: { running: 1 } } });
    gate.write(said('Building'));
    const { spec } = await setting.request();
    await until('it runs', () => setting.state(spec.id)?.phase === 'building');
    const [pod] = await setting.pods();
    const ref = { namespace: setting.namespace, name: pod?.metadata?.name ?? '' };
    await cluster.client.patch(Pods, ref, { metadata: { finalizers: ['example.org/kept'] } });
    await setting.builds.cancel(spec.id, 'ada');
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'cancelled' }]);
    await setting.untilClean(spec.id);
    const again = await setting.request();
    expect(again.began).toBe(true);
    expect(terminal(await setting.events(again.spec.id))).toMatchObject([{ type: 'ready' }]);
    expect((await cluster.client.get(Pods, ref))?.metadata?.deletionTimestamp).toBeDefined();
    await cluster.client.patch(Pods, ref, { metadata: { finalizers: null } });
  });
});

describe('the service account of builds', () => {
  it('is made again at once when somebody has deleted it, and the build that misses it goes on', async () => {
    await set();
    const ref = { namespace: setting.namespace, name: 'labwright-build' };
    await cluster.client.delete(ServiceAccounts, ref);
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    expect(await cluster.client.get(ServiceAccounts, ref)).toBeDefined();
  });
});

describe('a registry that is down', () => {
  it('never leads to a build', async () => {
    await set();
    await setting.registry.setFault({ kind: 'status', status: 503 });
    await expect(setting.request()).rejects.toMatchObject({ code: 'registry_unavailable', status: 503 });
    expect(await setting.jobs()).toEqual([]);
  });

  it('when a build has ended delays it until it is back', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    const reading = setting.events(spec.id);
    gate.write(said('pushed'));
    await until('the line is there', async () => {
      for await (const line of (await setting.builds.log(spec.id, AbortSignal.timeout(5_000))) ?? [])
        return line !== '';
      return false;
    });
    // It has pushed when its script ends, so the fault comes in the moment after.
    gate.end();
    await until('the image is pushed', () => setting.registry.digestOf(...nameOf(spec.image)) !== undefined);
    await setting.registry.setFault({ kind: 'status', status: 500 });
    await setting.registry.setFault(null);
    expect(terminal(await reading)).toMatchObject([{ type: 'ready' }]);
  });
});

describe('the namespace of builds', () => {
  it('is made again when somebody has removed it, and builds go on', async () => {
    await set();
    await setting.build();
    const where = { name: setting.namespace };
    await cluster.client.delete(Namespaces, where);
    await until('it is gone', async () => (await cluster.client.get(Namespaces, where)) === undefined);
    await expect(setting.request({ path: 'other' })).rejects.toMatchObject({ code: 'not_ready', status: 503 });
    // Builds that are there can be read meanwhile, and labs are not concerned.
    expect(setting.builds.isReady()).toBe(true);
    expect(setting.builds.health()).toMatchObject({ component: 'builds', ready: true });
    await until('it is there', async () => (await cluster.client.get(Namespaces, where)) !== undefined);
    await setting.builds.ready();
    const { spec } = await until('a build is taken', () => setting.request({ path: 'other' }).catch(() => undefined));
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
  });
});

describe('a build that is cancelled', () => {
  it('ends, while it runs, and nothing of it goes on', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    const reading = setting.events(spec.id);
    await setting.builds.cancel(spec.id, 'ada');
    const ends = terminal(await reading);
    expect(ends).toMatchObject([{ type: 'cancelled', reason: 'Cancelled' }]);
    // Whoever has the id may read it, and is not told who asked.
    expect(JSON.stringify(ends)).not.toMatch(/\bada\b(?!--)/);
    await setting.untilClean(spec.id);
    const [pod] = await setting.pods();
    expect(pod?.status?.phase ?? 'gone').not.toBe('Running');
  });

  it('leaves the queue, and those behind it move up', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { queue: { running: 1 } } });
    const states = await Promise.all(
      ['a', 'b', 'c'].map((name) => setting.request({ repository: aRepository(`ada/${name}`), username: name })),
    );
    // Any of them may have been the first: they were asked for in the same millisecond.
    const at = (position: number) => {
      return states.map(({ spec }) => setting.builds.get(spec.id)).find((state) => state?.position === position);
    };
    await until('two wait', () => at(1) !== undefined && at(2) !== undefined);
    const [first, last] = [at(1), at(2)];
    await setting.builds.cancel(first?.spec.id ?? '', 'b');
    await until('the one behind has moved up', () => setting.builds.get(last?.spec.id ?? '')?.position === 1);
  });

  it('by nobody waiting for it any more, unless it was asked to go on', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { abandonAfter: '1s' } });
    const wanted = await setting.request({ repository: aRepository('ada/wanted'), detached: true });
    const left = await setting.request({ repository: aRepository('ada/left') });
    await setting.untilPhase(left.spec.id, 'fetching');
    const reader = new AbortController();
    const reading = setting.builds.events(left.spec.id, undefined, reader.signal);
    for await (const event of reading ?? []) if (event.type === 'phase') break;
    reader.abort();
    const jobs = { namespace: setting.namespace, name: `build-${left.spec.id}` };
    // A request counts as somebody who waits for half a minute; this one is over.
    await cluster.client.patch(Jobs, jobs, {
      metadata: { annotations: { 'labwright.dev/wanted-until': new Date(0).toISOString() } },
    });
    await setting.untilPhase(left.spec.id, 'cancelled');
    expect(setting.state(left.spec.id)).toMatchObject({ reason: 'Abandoned' });
    expect(setting.state(wanted.spec.id).phase).toBe('fetching');
  });
});

describe('after a restart in the middle of a build', () => {
  it('a reader goes on with the next line, and the build ends as it would have', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    gate.write(said('one'), said('two'));
    let last = '';
    const before: string[] = [];
    for await (const event of setting.builds.events(spec.id, undefined, AbortSignal.timeout(10_000)) ?? []) {
      last = event.id;
      if (event.type === 'log') before.push(event.text);
      if (before.length === 2) break;
    }
    await setting.restart();
    gate.write(said('three'));
    gate.end();
    const after = await setting.events(spec.id, last);
    expect([...before, ...textOf(after)]).toEqual(['one\n', 'two\n', 'three\n']);
    expect(terminal(after)).toMatchObject([{ type: 'ready' }]);
    await setting.untilClean(spec.id);
  });

  it('one that ended meanwhile is ready, with its log', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    await setting.stop();
    gate.write(said('alone'));
    gate.end();
    await until('the Job is complete', async () => (await setting.jobs())[0]?.status?.succeeded === 1);
    await setting.start();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
  });

  it('of one that was over its end and its log are still told', async () => {
    await set({ scripts: () => ({ lines: [said('a')] }) });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    await setting.restart();
    const events = await setting.events(spec.id);
    expect(textOf(events)).toEqual(['a\n']);
    expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
  });
});

describe('what is secret of a build', () => {
  it('is in one Secret that the Job owns, and goes when the build is over', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    const secret = await cluster.client.get(Secrets, { namespace: setting.namespace, name: `build-${spec.id}` });
    expect(Object.keys(secret?.data ?? {})).toEqual(['config.json', 'git-credentials']);
    expect(secret?.metadata?.ownerReferences).toMatchObject([{ kind: 'Job', name: `build-${spec.id}` }]);
    gate.end();
    await setting.untilPhase(spec.id, 'ready');
    await setting.untilClean(spec.id);
  });
});

function nameOf(image: string): [string, string] {
  const [, repository = '', tag = ''] = /^[^/]+\/([^:]+):(.+)$/.exec(image) ?? [];
  return [repository, tag];
}
