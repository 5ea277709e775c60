import { describe, expect, it } from 'vitest';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import type { Fault } from '../../support/fault-proxy.ts';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

const OUTAGE_MS = 2_000;

const clusters = useCluster({ concurrent: true });

const FAULTS: readonly { what: string; fault: Fault }[] = [
  { what: 'is answered with 500', fault: { status: 500, reason: 'InternalError' } },
  { what: 'is answered with 503', fault: { status: 503, reason: 'ServiceUnavailable' } },
  { what: 'is answered with 429 and Retry-After', fault: { status: 429, reason: 'TooManyRequests', retryAfter: 1 } },
  { what: 'never reaches the server', fault: 'reset-before' },
  { what: 'is done, and the answer gets lost', fault: 'reset-after' },
  { what: 'arrives twice', fault: 'duplicate' },
  { what: 'is answered late', fault: { delayMs: 300 } },
  { what: 'is never answered', fault: 'stall' },
];

/** Does this to the first call of each verb and kind, and lets what comes after pass: every call meets it once. */
function oncePerCall({ proxy }: Setting, fault: Fault): void {
  const seen = new Set<string>();
  proxy.onCall = (_n, { verb, resource, namespace }) => {
    if (verb === 'watch' || verb === 'list') return 'pass';
    const call = `${verb} ${resource} ${namespace}`;
    if (seen.has(call)) return 'pass';
    seen.add(call);
    return fault;
  };
}

/** A controller that does not wait long for an answer. */
function impatient(): Promise<Setting> {
  return clusters.setting({ config: aConfig({}, { kubernetes: { requestTimeout: onCluster('400ms', '1500ms') } }) });
}

/** A create or delete as a hub does it: what was answered with "try again" is tried again. */
async function insist(work: () => Promise<void>, isDone: () => boolean): Promise<void> {
  await until(
    'the request is accepted',
    async () => {
      try {
        await work();
        return true;
      } catch (error) {
        if (isDone()) return true;
        const { code } = error as { code?: string };
        if (code !== 'not_ready') throw error;
        return false;
      }
    },
    15_000,
  );
}

/** A running lab, asked for in the same way: without any fault of ours, an answer may be late for an impatient controller. */
async function insistOnLab(setting: Setting): Promise<void> {
  await insist(
    () => setting.labs.create(aLab()),
    () => setting.labs.get(aKey()) !== undefined,
  );
  await setting.untilPhase('running', aKey(), onCluster(25_000, 50_000));
}

describe.concurrent('a transient fault of the API server', () => {
  it.each(FAULTS)('at any call of a spawn is no failure: each $what', { timeout: 70_000 }, async ({ fault }) => {
    const setting = await impatient();
    oncePerCall(setting, fault);
    await insistOnLab(setting);
    expect((await setting.events()).map(({ type }) => type)).not.toContain('error');
    const { items } = await setting.client.list(Pods, { namespace: setting.namespaceOf() });
    expect(items).toHaveLength(1);
  });

  it.each(FAULTS)('at any call of a delete is no failure: each $what', { timeout: 70_000 }, async ({ fault }) => {
    const setting = await impatient();
    await insistOnLab(setting);
    oncePerCall(setting, fault);
    await insist(
      () => setting.labs.delete(aKey()),
      () => setting.labs.get(aKey()) === undefined,
    );
    await setting.untilForgotten();
    expect(await setting.pod()).toBeUndefined();
    expect(await setting.secretNames()).toEqual([]);
    setting.proxy.onCall = () => 'pass';
    await insistOnLab(setting);
  });

  it('that lasts is waited out', { timeout: 40_000 }, async () => {
    const setting = await clusters.setting();
    await setting.labs.create(aLab());
    const end = performance.now() + OUTAGE_MS;
    setting.proxy.onCall = () => (performance.now() > end ? 'pass' : { status: 503, reason: 'ServiceUnavailable' });
    await until('it is over', () => performance.now() > end);
    await setting.untilPhase('running', aKey(), 10_000);
  });
});

describe.concurrent('a watch', () => {
  /** Ends the watches of pods and does this to those that come after. */
  function breakPodWatch({ proxy }: Setting, fault: (request: KubeRequest) => Fault): void {
    proxy.onCall = (_n, request) => (request.verb === 'watch' && request.resource === 'pods' ? fault(request) : 'pass');
    proxy.reset();
  }

  it('of events that never works makes nothing unready: labs come up and are told of without it', async () => {
    const setting = await clusters.setting({ start: false });
    setting.proxy.onCall = (_n, { resource }) => (resource === 'events' ? { status: 403 } : 'pass');
    await setting.start();
    expect(setting.labs.isReady()).toBe(true);
    await setting.spawn(aLab());
    expect((await setting.events()).at(-1)).toMatchObject({ type: 'complete' });
  });

  it('that has expired is begun anew, and what vanished meanwhile is noticed', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.spawn(aLab({ username: 'bob' }));
    let blind = true;
    breakPodWatch(setting, () => (blind ? 'reset-before' : { watch: { frames: 0, then: 'gone' } }));
    await setting.kubelet.remove(setting.podRef());
    blind = false;
    await setting.untilPhase('failed', aKey(), 15_000);
    expect(setting.state().reason).toBe('DeletedExternally');
    setting.proxy.onCall = () => 'pass';
    expect(setting.state(aKey('bob')).status).toBe('running');
  });

  it.each<{ what: string; fault: Fault }>([
    { what: 'breaks in the middle of an event', fault: { watch: { frames: 1, then: 'truncate' } } },
    { what: 'holds what is no event', fault: { watch: { frames: 0, then: 'garbage' } } },
    { what: 'ends after each event', fault: { watch: { frames: 1, then: 'end' } } },
    { what: 'tells everything twice', fault: { watch: { duplicate: true } } },
    { what: 'is refused', fault: { status: 500, reason: 'InternalError' } },
  ])('that $what does not keep a lab from coming up', { timeout: 70_000 }, async ({ fault }) => {
    const setting = await clusters.setting();
    let faults = 4;
    breakPodWatch(setting, () => (faults-- > 0 ? fault : 'pass'));
    await setting.labs.create(aLab());
    await setting.untilPhase('running', aKey(), 30_000);
    await setting.kubelet.evict(setting.podRef());
    await setting.untilPhase('failed', aKey(), 30_000);
    expect(setting.state().reason).toBe('Evicted');
  });
});

it('answers not-ready while there is no picture of the cluster, and goes on when there is one', async () => {
  const setting = await clusters.setting({ start: false });
  setting.proxy.onCall = () => ({ status: 503, reason: 'ServiceUnavailable' });
  setting.launch();
  await until('it has tried', () => setting.proxy.requests.all.some(({ url }) => url.includes(setting.controller)));
  expect(setting.labs.isReady()).toBe(false);
  setting.proxy.onCall = () => 'pass';
  await setting.labs.ready();
  await setting.spawn(aLab());
});
