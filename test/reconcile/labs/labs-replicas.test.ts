import { afterEach, describe, expect, it } from 'vitest';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { LabEvent } from '../../../src/domain/lab/lab.ts';
import type { LabService } from '../../../src/reconcile/labs/lab-service.ts';
import { LAB_LABEL, labSlug } from '../../../src/domain/names.ts';
import { Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

const LABS = 45;
const EVENTS_MS = 30_000;
const RUN_MS = 60_000;
const users = Array.from({ length: LABS }, (_, index) => `user-${String(index).padStart(2, '0')}`);

const clusters = useCluster();
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function eventsAt(labs: LabService, username = 'ada', lastEventId?: string): Promise<LabEvent[]> {
  const events: LabEvent[] = [];
  const stream = labs.events(aKey(username), lastEventId, AbortSignal.timeout(EVENTS_MS));
  for await (const event of stream ?? []) events.push(event);
  return events;
}

const terminal = (events: readonly LabEvent[]) =>
  events.flatMap(({ type }) => (type === 'complete' || type === 'failed' ? [type] : []));

/** Every Secret of a lab that is deleted from now on. */
async function watchRemovals(setting: Setting) {
  const labelSelector = `labwright.dev/controller=${setting.controller},labwright.dev/kind=lab`;
  const { resourceVersion } = await setting.client.list(Secrets, { labelSelector });
  const halt = new AbortController();
  const removed: string[] = [];
  const watching = (async () => {
    const stream = setting.client.watch(Secrets, { labelSelector, resourceVersion, signal: halt.signal });
    for await (const { type, object } of stream) {
      if (type === 'DELETED') removed.push(`${object.metadata?.namespace}/${object.metadata?.name}`);
    }
  })().catch(() => undefined);
  const stop = async () => {
    halt.abort();
    await watching;
    return removed;
  };
  closing.push(async () => void (await stop()));
  return { stop };
}

/** Asks as a hub does: again, as long as the answer is that the API server is too slow, which it is beside three controllers here. */
async function asHub(ask: () => Promise<void>): Promise<void> {
  const isBusy = (error: unknown) => error instanceof LabwrightError && error.code === 'not_ready';
  await until(
    'the request is answered',
    () =>
      ask().then(
        () => true,
        (error: unknown) => {
          if (isBusy(error)) return false;
          throw error;
        },
      ),
    RUN_MS,
  );
}

describe('three controllers that all reconcile', () => {
  async function three() {
    // All of it runs in one process: calls wait longer for their turn than for the API server.
    const setting = await clusters.setting({ config: aConfig({}, { kubernetes: { requestTimeout: '60s' } }) });
    const replicas = [
      setting.labs,
      await setting.addReplica({ leads: true }),
      await setting.addReplica({ leads: true }),
    ];
    return { setting, replicas, removals: await watchRemovals(setting) };
  }

  /** The same end as with one: every lab runs with its own Secrets, none of which was ever removed, and every reader knows. */
  async function expectAllRun({ setting, replicas, removals }: Awaited<ReturnType<typeof three>>): Promise<void> {
    for (const labs of replicas) {
      await until('all labs run', () => labs.runningUsers().length === LABS, RUN_MS);
      for (const username of users) expect(terminal(await eventsAt(labs, username))).toEqual(['complete']);
    }
    for (const username of users) {
      const state = setting.state(aKey(username));
      const namespace = setting.namespaceOf(aKey(username));
      const labelSelector = `${LAB_LABEL}=${labSlug(aKey(username))}`;
      const { items } = await setting.client.list(Secrets, { namespace, labelSelector });
      const spawns = items.map(({ metadata }) => [metadata?.name, metadata?.labels?.['labwright.dev/spawn']]);
      expect(spawns.sort()).toEqual([
        [setting.names(aKey(username)).envSecret, state.spec.spawnId],
        [setting.names(aKey(username)).secret, state.spec.spawnId],
      ]);
    }
    expect(await removals.stop()).toEqual([]);
    const reported = setting.log.filter((line) => line.includes('lab failed') || line.includes('NameTaken'));
    expect(reported).toEqual([]);
    const calls = setting.proxy.requests.calls().length;
    process.stdout.write(`three controllers: ${(calls / LABS).toFixed(1)} calls a lab\n`);
  }

  it('make each lab once when one of them is asked', { timeout: 120_000 }, async () => {
    const all = await three();
    await Promise.all(users.map((username) => asHub(() => all.setting.labs.create(aLab({ username })))));
    await expectAllRun(all);
  });

  it('make each lab once when all of them are asked for it at the same moment', { timeout: 120_000 }, async () => {
    const all = await three();
    const answers = await Promise.all(
      users.map(async (username) => {
        const creates = all.replicas.map((labs) => asHub(() => labs.create(aLab({ username }))));
        return Promise.allSettled(creates);
      }),
    );
    for (const results of answers) {
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ status: 409 });
      }
    }
    await expectAllRun(all);
  });

  it('answer at once for a lab that another one was asked for', { timeout: 120_000 }, async () => {
    const all = await three();
    const [first, ...others] = all.replicas;
    await Promise.all(
      users.map(async (username) => {
        await asHub(() => first!.create(aLab({ username })));
        for (const labs of others) {
          await asHub(() => labs.ready(aKey(username)));
          expect(labs.get(aKey(username))).toBeDefined();
          expect(labs.events(aKey(username), undefined, AbortSignal.abort())).toBeDefined();
        }
      }),
    );
    await expectAllRun(all);
  });

  it('end labs that one of them is asked to delete, and start them again elsewhere', { timeout: 120_000 }, async () => {
    const { setting, replicas } = await three();
    const [one, two, last] = replicas as [LabService, LabService, LabService];
    const some = users.slice(0, 15);
    for (let round = 1; round <= 2; round += 1) {
      await Promise.all(
        some.map(async (username) => {
          await asHub(() => one.create(aLab({ username })));
          await until('it runs', () => last.get(aKey(username))?.status === 'running', RUN_MS);
          await asHub(() => two.ready(aKey(username)));
          await asHub(() => two.delete(aKey(username)));
          await asHub(() => last.create(aLab({ username })));
          expect(terminal(await eventsAt(last, username))).toEqual(['complete']);
          await asHub(() => one.ready(aKey(username)));
          await asHub(() => one.delete(aKey(username)));
        }),
      );
    }
    // A controller that was late with a write takes it back after the lab has gone.
    for (const username of some) await expectNothingLeft(setting, username);
    expect(setting.log.filter((line) => line.includes('lab failed'))).toEqual([]);
  });

  it('leave no Secret when one of them was late and the lab has gone meanwhile', async () => {
    const setting = await clusters.setting();
    const late = await FaultProxy.start(setting.cluster.direct);
    closing.push(async () => {
      await setting.stop();
      await late.close();
    });
    const inLab = setting.namespaceOf(aKey());
    const creates = (resource: string) => (_n: number, request: KubeRequest) =>
      request.verb === 'create' && request.resource === resource && request.namespace === inLab
        ? ('hold-before' as const)
        : ('pass' as const);
    late.onCall = creates('secrets');
    setting.proxy.onCall = creates('pods');
    await setting.addReplica({ leads: true, proxy: late });
    await setting.labs.create(aLab());
    await until('the late one is about to make a Secret', () => late.held.size === 2);
    setting.proxy.onCall = () => 'pass';
    for (const held of setting.proxy.held) held.release();
    await setting.untilPhase('running');
    await setting.labs.delete(aKey());
    expect(await setting.secretNames()).toEqual([]);
    late.onCall = () => 'pass';
    for (const held of late.held) held.release();
    await until('it takes back what it made', () =>
      late.requests.all.some(({ verb, resource }) => verb === 'deletecollection' && resource === 'secrets'),
    );
    await expectNothingLeft(setting, 'ada');
  });

  async function expectNothingLeft(setting: Setting, username: string): Promise<void> {
    const isGone = async () => (await setting.secretNames(aKey(username))).length === 0;
    await until(`the Secrets of ${username} are gone`, isGone);
    expect(await setting.pod(aKey(username))).toBeUndefined();
  }
});

describe('a replica that does not lead', () => {
  it('tells its readers of a spawn and of a delete, with one end each', async () => {
    const setting = await clusters.setting();
    const replica = await setting.addReplica({ leads: false });
    await replica.create(aLab());
    const spawn = await eventsAt(replica);
    expect(terminal(spawn)).toEqual(['complete']);
    expect(spawn.map(({ message }) => message)).toContain('Created Kubernetes objects for user lab');
    expect(terminal(await setting.events())).toEqual(['complete']);
    const followed = eventsAt(replica, 'ada', undefined);
    expect(terminal(await followed)).toEqual(['complete']);
    await replica.delete(aKey());
    expect(replica.get(aKey())).toBeUndefined();
    expect(await setting.secretNames()).toEqual([]);
    expect(terminal(await eventsAt(replica))).toEqual(['complete']);
  });

  it('goes on with a stream that was begun at another one', async () => {
    const setting = await clusters.setting({ kubelet: false });
    const replica = await setting.addReplica({ leads: false });
    await setting.labs.create(aLab());
    const last = await setting.untilEvent('Created Kubernetes objects for user lab');
    await until('it is told there, too', () => replica.get(aKey())?.phase === 'scheduling');
    const rest = eventsAt(replica, 'ada', last.id);
    await setting.runByHand();
    const told = await rest;
    expect(terminal(told)).toEqual(['complete']);
    expect(told.map(({ message }) => message)).not.toContain('Created Kubernetes objects for user lab');
  });

  it('says why a lab has failed', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'imagePull' }] });
    const replica = await setting.addReplica({ leads: false });
    await replica.create(aLab());
    const events = await eventsAt(replica);
    expect(terminal(events)).toEqual(['failed']);
    expect(events.at(-2)).toMatchObject({ type: 'error', message: expect.stringContaining('image') as string });
    expect(replica.get(aKey())).toMatchObject({ status: 'failed', reason: 'ImageNotFound' });
  });

  it('lets go of the secrets of a lab when it has come up', async () => {
    const setting = await clusters.setting();
    const replica = await setting.addReplica({ leads: false });
    await replica.create(aLab());
    expect(terminal(await eventsAt(replica))).toEqual(['complete']);
    // The leader has read them from the intent: nothing else tells it.
    const reads = setting.proxy.requests.all.filter(
      ({ verb, resource, name }) => verb === 'get' && resource === 'secrets' && name === 'lab-ada',
    );
    expect(reads).toHaveLength(1);
  });
});

describe('a replica whose watches lag behind', () => {
  /** One that has read the cluster once and hears nothing more. */
  async function deaf(setting: Setting): Promise<{ labs: LabService; proxy: FaultProxy }> {
    const proxy = await FaultProxy.start(setting.cluster.direct);
    closing.push(async () => {
      proxy.onCall = () => 'pass';
      proxy.reset();
      await setting.stop();
      await proxy.close();
    });
    proxy.onCall = (_n, { verb }) => (verb === 'watch' ? 'hold-before' : 'pass');
    return { labs: await setting.addReplica({ leads: false, proxy }), proxy };
  }

  it('knows a lab right after it was asked for elsewhere', async () => {
    const setting = await clusters.setting();
    const { labs } = await deaf(setting);
    await labs.ready(aKey());
    expect(labs.get(aKey())).toBeUndefined();
    await setting.labs.create(aLab());
    await labs.ready(aKey());
    expect(labs.get(aKey())).toMatchObject({ status: 'pending' });
    expect(labs.events(aKey(), undefined, AbortSignal.abort())).toBeDefined();
  });

  it('starts a lab that was deleted elsewhere, and does not take a new one for the failed one before', async () => {
    const setting = await clusters.setting();
    const { labs } = await deaf(setting);
    await setting.spawn(aLab());
    await labs.ready(aKey());
    await setting.labs.delete(aKey());
    await labs.create(aLab());
    await setting.untilPhase('running');
    await setting.client.delete(Pods, setting.podRef(), {
      gracePeriodSeconds: 0,
    });
    await setting.untilPhase('failed');
    // The leader says so before it has written it down, which is what other replicas can know.
    await setting.untilCleaned();
    // It learns of the failure by asking about what it does not know.
    await expect(labs.create(aLab())).resolves.toBeUndefined();
    await setting.untilPhase('running');
  });

  it('deletes a lab that was asked for elsewhere in the place of one that it knows', async () => {
    const setting = await clusters.setting({ config: aConfig({ deleteTimeout: onCluster('2s', '8s') }) });
    const { labs } = await deaf(setting);
    await setting.spawn(aLab());
    await labs.ready(aKey());
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    const deleting = labs.delete(aKey()).catch((error: unknown) => error);
    await setting.untilForgotten();
    // It cannot hear of the end.
    expect(await deleting).toMatchObject({ code: 'delete_failed' });
  });

  it('says 503 for a lab it does not know while the API server does not answer', async () => {
    const setting = await clusters.setting();
    const { labs, proxy } = await deaf(setting);
    proxy.onCall = () => ({ status: 500 });
    await expect(labs.ready(aKey())).rejects.toMatchObject({ code: 'not_ready', status: 503 });
  });
});

describe('questions about labs that nobody has', () => {
  it('are shared by those who ask at once, and bounded', async () => {
    const setting = await clusters.setting();
    const asked = () =>
      setting.proxy.requests.all.filter(({ verb, resource }) => verb === 'get' && resource === 'secrets');
    await Promise.all(Array.from({ length: 500 }, () => setting.labs.ready(aKey('nobody'))));
    expect(asked().length).toBeLessThanOrEqual(2);
    const names = Array.from({ length: 1_000 }, (_, index) => `nobody-${index}`);
    await Promise.all(names.map((name) => setting.labs.ready(aKey(name))));
    expect(asked().length).toBeLessThan(300);
    expect(setting.labs.get(aKey('nobody-999'))).toBeUndefined();
  });
});
