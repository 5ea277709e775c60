import { afterEach, describe, expect, it } from 'vitest';
import type { BuildScript, Kubelet } from '../../sandbox/index.ts';
import type { TestKubeletOptions } from '../support/cluster.ts';
import { type Answer, aPod, eventually, refusal, useApi } from './api.ts';

/** GET pods/log as a real API server and a real kubelet answer it: on either server the simulated kubelet has the log. */
const api = useApi();
const kubelets: Kubelet[] = [];

afterEach(async () => {
  await Promise.all(kubelets.splice(0).map((kubelet) => kubelet.close()));
});

interface Place {
  readonly path: string;
  readonly log: string;
}

/** A pod that is a build, and a kubelet for it. */
async function aBuild(script: BuildScript, options: TestKubeletOptions = {}): Promise<Place> {
  const { name, path } = await api.namespace();
  kubelets.push(await api.cluster.startKubelet({ namespacePrefix: name, builds: () => script, ...options }));
  await api.post(`${path}/pods`, aBuildPod());
  return { path, log: `${path}/pods/build/log` };
}

function aBuildPod(): object {
  const containers = [{ name: 'builder', image: 'registry.example/builder:1' }];
  return aPod('build', { containers }, { labels: { 'labwright.dev/kind': 'build' } });
}

function podThat({ path }: Place, ...phases: string[]): Promise<Answer> {
  return eventually(
    () => api.get(`${path}/pods/build`),
    ({ body }) => phases.includes(body.status.phase),
  );
}

/** Something else says when it comes. */
function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { opened: promise.then(() => undefined), open: () => resolve(undefined) };
}

const text = ({ body }: Answer) => body as unknown as string;
const three: BuildScript = { lines: ['one', 'two', 'three'], push: false };
const STAMPED = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /;

describe('the log of a container', () => {
  it('is what it has written', async () => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    const answer = await api.get(place.log, '*/*');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/plain');
    expect(text(answer)).toBe('one\ntwo\nthree\n');
    expect(text(await api.get(`${place.log}?container=builder&follow=true`))).toBe('one\ntwo\nthree\n');
  });

  it('has the time of each line on request, to the nanosecond', async () => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    const lines = text(await api.get(`${place.log}?timestamps=true`))
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => line.replace(STAMPED, ''))).toEqual(['one', 'two', 'three']);
    expect(lines.every((line) => STAMPED.test(line))).toBe(true);
    expect(lines).toEqual(lines.toSorted());
  });

  it.each([
    ['the last lines', 'tailLines=2', 'two\nthree\n'],
    ['no line', 'tailLines=0', ''],
    ['some bytes', 'limitBytes=5', 'one\nt'],
    ['what is younger than some seconds', 'sinceSeconds=1000', 'one\ntwo\nthree\n'],
    ['what was written from a moment on', 'sinceTime=2026-01-01T00:00:00.5Z', 'one\ntwo\nthree\n'],
    ['nothing from a moment on that is to come', 'sinceTime=2999-01-01T00:00:00Z', ''],
    ['all of it, with a flag that is no word', 'follow=maybe', 'one\ntwo\nthree\n'],
  ])('can be cut down to %s', async (_what, query, wanted) => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    const answer = await api.get(`${place.log}?${query}`);
    expect([answer.status, text(answer)]).toEqual([200, wanted]);
  });

  it('from a moment on has all of that second', async () => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    const [, , third = ''] = text(await api.get(`${place.log}?timestamps=true`)).split('\n');
    const second = third.slice(0, '2026-01-01T00:00:00'.length);
    const all = text(await api.get(`${place.log}?timestamps=true`)).split('\n');
    const since = text(await api.get(`${place.log}?timestamps=true&sinceTime=${second}.999999999Z`)).split('\n');
    expect(since).toEqual(all.filter((line) => line === '' || line >= second));
  });

  it('passes bytes on as they are, and the last line without its end', async () => {
    const bytes = Buffer.from([0x62, 0xff, 0x0a, 0x65, 0x6e, 0x64]);
    const place = await aBuild({ lines: [bytes], push: false });
    await podThat(place, 'Succeeded');
    const log = await api.cluster.client.podLog(
      { namespace: place.path.split('/')[4] ?? '', name: 'build' },
      { container: 'builder', follow: false, timestamps: false, signal: AbortSignal.timeout(10_000) },
    );
    expect(Buffer.concat(await log.toArray())).toEqual(bytes);
  });

  it('has one time for a long line, which is several entries', async () => {
    const long = 'x'.repeat(40_000);
    const place = await aBuild({ lines: [long, 'end'], push: false });
    await podThat(place, 'Succeeded');
    const lines = text(await api.get(`${place.log}?timestamps=true`))
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => line.replace(STAMPED, ''))).toEqual([long, 'end']);
    expect(text(await api.get(`${place.log}?tailLines=2`))).toBe(`${'x'.repeat(40_000 - 2 * 16_384)}\nend\n`);
  });
});

describe('a log that is followed', () => {
  /** Reads a log as it comes. */
  async function follow({ path }: Place, signal = AbortSignal.timeout(20_000)) {
    const ref = { namespace: path.split('/')[4] ?? '', name: 'build' };
    return api.cluster.client.podLog(ref, { container: 'builder', follow: true, timestamps: false, signal });
  }

  it('comes as it is written and ends with the container', async () => {
    const [first, second] = [gate(), gate()];
    async function* lines() {
      yield 'one';
      await first.opened;
      yield 'two';
      await second.opened;
      yield 'three';
    }
    const place = await aBuild({ lines: lines(), push: false });
    await podThat(place, 'Running');
    const log = await follow(place);
    let seen = '';
    for await (const chunk of log as AsyncIterable<Buffer>) {
      seen += chunk.toString();
      if (seen === 'one\n') first.open();
      if (seen === 'one\ntwo\n') second.open();
    }
    expect(seen).toBe('one\ntwo\nthree\n');
    await podThat(place, 'Succeeded');
  });

  it('ends when the pod is deleted', async () => {
    const place = await aBuild({ lines: ['one'], hang: true });
    await podThat(place, 'Running');
    const log = await follow(place);
    await api.delete(`${place.path}/pods/build`, { gracePeriodSeconds: 1 });
    expect(Buffer.concat(await log.toArray()).toString()).toBe('one\n');
  });

  it('can be left at any time', async () => {
    const place = await aBuild({ lines: ['one'], hang: true });
    await podThat(place, 'Running');
    const abort = new AbortController();
    const log = await follow(place, abort.signal);
    const reading = log.toArray();
    abort.abort();
    await expect(reading).rejects.toThrow();
  });
});

describe('there is no log', () => {
  it('of a pod that is not there', async () => {
    const { path } = await api.namespace();
    const details = { name: 'nope', kind: 'pods' };
    expect(await api.get(`${path}/pods/nope/log`)).toMatchObject(
      refusal(404, 'NotFound', 'pods "nope" not found', details),
    );
  });

  it('of a pod that is on no node', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/pods`, aBuildPod());
    const answer = await api.get(`${path}/pods/build/log`);
    expect([answer.status, text(answer)]).toEqual([204, '']);
  });

  it('of a pod on a node that is not there', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/pods`, aBuildPod());
    const target = { kind: 'Node', name: 'nowhere' };
    await api.post(`${path}/pods/build/binding`, { metadata: { name: 'build' }, target });
    expect(await api.get(`${path}/pods/build/log`)).toMatchObject({
      status: 404,
      body: { message: 'pods "nowhere" not found' },
    });
  });

  it('of a pod that its kubelet does not know, nor from a kubelet that is away', async () => {
    const { path, name } = await api.namespace();
    const kubelet = await api.cluster.startKubelet({ namespacePrefix: 'nowhere', node: name });
    kubelets.push(kubelet);
    await api.post(`${path}/pods`, aBuildPod());
    const target = { kind: 'Node', name };
    await api.post(`${path}/pods/build/binding`, { metadata: { name: 'build' }, target });
    const unknown = await api.get(`${path}/pods/build/log`);
    expect(unknown).toMatchObject({
      status: 404,
      body: { reason: 'NotFound', details: { name: 'build', kind: 'pods/log' } },
    });
    expect(unknown.body.message).toBe('the server could not find the requested resource ( pods/log build)');
    await kubelet.close();
    const away = await api.get(`${path}/pods/build/log`);
    expect(away.status).toBe(500);
    expect(away.body).not.toHaveProperty('reason');
    expect(away.body.message).toMatch(/^Get "https:/);
  });

  it.each([
    [
      'a slow pull',
      {},
      { delays: { schedule: 0, init: 0, pull: 600_000, start: 0, ready: 0, build: 0, stop: 0 } },
      'ContainerCreating',
    ],
    [
      'an image that is not there',
      {},
      { faults: [{ fault: 'imagePull' } as const] },
      'trying and failing to pull image',
    ],
  ])('yet, with %s', async (_why, script, options, why) => {
    const place = await aBuild(script, options);
    const message = `container "builder" in pod "build" is waiting to start: ${why}`;
    const answer = await eventually(
      () => api.get(place.log),
      ({ body }) => body.message === message,
    );
    expect(answer).toMatchObject(refusal(400, 'BadRequest', message));
  });

  it.each([
    ['container=zip', refusal(400, 'BadRequest', 'container zip is not valid for pod build')],
    ['previous=true', refusal(400, 'BadRequest', 'previous terminated container "builder" in pod "build" not found')],
    ['sinceTime=garbage', { status: 400 }],
    ['tailLines=few', { status: 400 }],
    ['tailLines=-1', { status: 422, body: { details: { kind: 'PodLogOptions', causes: [{ field: 'tailLines' }] } } }],
    ['limitBytes=0', { status: 422, body: { details: { causes: [{ field: 'limitBytes' }] } } }],
    ['sinceSeconds=0', { status: 422, body: { details: { causes: [{ field: 'sinceSeconds' }] } } }],
    [
      'sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z',
      { status: 422, body: { details: { causes: [{ field: '[]' }] } } },
    ],
  ])('with %s', async (query, wanted) => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    expect(await api.get(`${place.log}?${query}`)).toMatchObject(wanted);
  });

  it('where the container is not named and there are two', async () => {
    const { path } = await api.namespace();
    const containers = ['a', 'b'].map((name) => ({ name, image: 'registry.example/x:1' }));
    await api.post(`${path}/pods`, aPod('two', { containers }));
    const message = 'a container name must be specified for pod two, choose one of: [a b]';
    expect(await api.get(`${path}/pods/two/log`)).toMatchObject(refusal(400, 'BadRequest', message));
  });

  it('for a POST, or as text only', async () => {
    const place = await aBuild(three);
    await podThat(place, 'Succeeded');
    expect(await api.post(place.log, {})).toMatchObject({ status: 405 });
    expect(await api.get(place.log, 'text/plain')).toMatchObject({ status: 406 });
  });
});
