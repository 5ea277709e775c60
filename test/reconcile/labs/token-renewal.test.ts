import { describe, expect, it } from 'vitest';
import { labSlug } from '../../../src/domain/names.ts';
import { Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { type Setting, type SettingOptions, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab, PLANTED } from '../support/labs.ts';
import { idOf, renewedAt, signedConfig, TestKeys, tokenIn } from '../support/tokens.ts';
import { until } from '../support/until.ts';

/** Renewed every second or so. */
const SHORT = 2_000;
const LONG = 3_600_000;

const clusters = useCluster();

interface Signed {
  readonly setting: Setting;
  readonly keys: TestKeys;
}

async function signed(lifetime: number, options: SettingOptions = {}): Promise<Signed> {
  const keys = await TestKeys.make();
  const config = signedConfig(lifetime);
  return { keys, setting: await clusters.setting({ config, tokens: keys.tokens(config), ...options }) };
}

/** What is asked of Secrets outside of spawns and deletes. */
function touchesTokens(setting: Setting) {
  return ({ verb, resource, namespace }: KubeRequest) =>
    resource === 'secrets' && verb === 'patch' && [setting.controller, setting.namespaceOf()].includes(namespace);
}

/** Holds the next patch of a Secret in this namespace, and gives it when it is there. */
async function holdPatch(setting: Setting, namespace: string, side: 'hold-before' | 'hold-after' = 'hold-before') {
  let done = false;
  setting.proxy.onCall = (_n, request) => {
    if (done || request.verb !== 'patch' || request.resource !== 'secrets' || request.namespace !== namespace) {
      return 'pass';
    }
    done = true;
    return side;
  };
  return setting.proxy.nextHeld(10_000);
}

describe('a lab with a signed token', () => {
  it('gets one of its own, and the token of the caller is kept nowhere', async () => {
    const { setting, keys } = await signed(LONG);
    await setting.spawn(aLab());
    const token = (await tokenIn(setting))!;
    expect(await keys.verify(token)).toEqual({
      iss: 'https://hub.example.org/labwright',
      sub: 'ada',
      aud: 'https://hub.example.org',
      iat: expect.any(Number) as number,
      exp: expect.any(Number) as number,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      labwright_server: '',
      groups: ['astronomers'],
    });
    const intent = await setting.client.get(Secrets, setting.intentRef());
    expect(Object.keys(intent?.data ?? {})).toEqual(['env.json']);
    const { items } = await setting.client.list(Secrets, { namespace: setting.namespaceOf() });
    const everything = JSON.stringify([intent, items]).replaceAll(/"([\w+/=]+)"/g, (_, text: string) => atobOr(text));
    expect(everything).not.toContain(PLANTED.token);
    expect(everything).toContain(token);
    const pod = await setting.pod();
    expect(pod?.spec?.volumes?.find(({ name }) => name === 'lab-token')?.secret?.items).toEqual([
      { key: 'token', path: 'token' },
    ]);
    expect(setting.log.join('')).not.toContain(token);
  });

  it('has it replaced in time, again and again, and the intent says when', async () => {
    const { setting, keys } = await signed(2 * SHORT);
    await setting.spawn(aLab());
    const seen = new Map<string, string>();
    await until('it was renewed twice', async () => {
      const token = (await tokenIn(setting))!;
      // Whoever reads the file at any moment finds a token that is good.
      await keys.verify(token, 0);
      seen.set(idOf(token)!, token);
      return seen.size === 3;
    });
    expect(await renewedAt(setting)).toMatch(/^\d{4}-/);
    for (const token of seen.values()) expect(setting.log.join('')).not.toContain(token);
    expect(setting.state().status).toBe('running');
  });

  it('has it replaced while it waits for a node', async () => {
    const { setting, keys } = await signed(SHORT, { kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPod();
    const first = await tokenIn(setting);
    await until('it was renewed', async () => (await tokenIn(setting)) !== first);
    await keys.verify((await tokenIn(setting))!);
  });

  it('has it replaced at once when the keys were', async () => {
    const { setting, keys } = await signed(SHORT * 10);
    await setting.spawn(aLab());
    const first = (await tokenIn(setting))!;
    await keys.replace();
    await until('it was renewed', async () => (await tokenIn(setting)) !== first);
    await keys.verify((await tokenIn(setting))!);
    await expect(keys.verify(first)).rejects.toThrow();
  });

  it('costs two calls for a renewal, and none in between', async () => {
    const { setting } = await signed(LONG);
    await setting.spawn(aLab());
    const quiet = setting.proxy.requests.calls().length;
    const config = signedConfig(SHORT);
    await setting.restart({ config, tokens: (await TestKeys.make()).tokens(config) });
    const since = performance.now();
    await until('the intent says so', async () => (await renewedAt(setting)) !== undefined);
    expect(
      setting.proxy.requests.calls(since).map(({ verb, resource, namespace }) => [verb, resource, namespace]),
    ).toEqual([
      ['patch', 'secrets', setting.namespaceOf()],
      ['patch', 'secrets', setting.controller],
    ]);
    expect(quiet).toBeGreaterThan(0);
  });

  it('is not renewed over and over where the intent cannot be written', async () => {
    const { setting } = await signed(2 * SHORT);
    await setting.spawn(aLab());
    const isNote = ({ verb, namespace }: KubeRequest) => verb === 'patch' && namespace === setting.controller;
    setting.proxy.onCall = (_n, request) => (isNote(request) ? { status: 403 } : 'pass');
    const since = performance.now();
    const renewals = () => setting.proxy.requests.calls(since, touchesTokens(setting)).filter((call) => !isNote(call));
    await until('it was renewed', () => renewals().length > 0);
    const renewed = performance.now();
    await until('it had the time to look five times', () => performance.now() - renewed > 1_000);
    expect(renewals()).toHaveLength(1);
    const failures = setting.log.filter((line) => line.includes('lab-tokens') && line.includes('reconcile failed'));
    expect(failures).toHaveLength(1);
  });

  it('is left alone by a controller that has just started, when nothing is due', async () => {
    const { setting } = await signed(SHORT * 10);
    await setting.spawn(aLab());
    const token = await tokenIn(setting);
    const since = performance.now();
    await setting.restart();
    // It looks every second, and nothing is due for another nine.
    await until('it had the time to look twice', () => performance.now() - since > 2_500);
    expect(setting.proxy.requests.calls(since, touchesTokens(setting))).toEqual([]);
    expect(
      setting.proxy.requests.calls(since).filter(({ verb, resource }) => verb === 'get' && resource === 'secrets'),
    ).toEqual([]);
    expect(await tokenIn(setting)).toBe(token);
  });
});

describe('a controller that dies while it renews a token', () => {
  it.each(['hold-before', 'hold-after'] as const)(
    '(%s its note in the intent) leaves a good token, and the next one goes on',
    async (side) => {
      const { setting, keys } = await signed(SHORT);
      await setting.spawn(aLab());
      const held = await holdPatch(setting, setting.controller, side);
      const noted = await renewedAt(setting);
      expect(noted === undefined).toBe(side === 'hold-before');
      setting.proxy.reset();
      held.release();
      await setting.stop();
      const left = (await tokenIn(setting))!;
      await keys.verify(left);
      setting.proxy.onCall = () => 'pass';
      await setting.start();
      await until('it was renewed once more', async () => (await tokenIn(setting)) !== left);
      await until('and noted', async () => ![undefined, noted].includes(await renewedAt(setting)));
      await keys.verify((await tokenIn(setting))!);
    },
  );

  it('leaves the old token when it had not replaced it yet', async () => {
    const { setting, keys } = await signed(SHORT);
    await setting.spawn(aLab());
    const first = await tokenIn(setting);
    await holdPatch(setting, setting.namespaceOf());
    setting.proxy.onCall = (_n, { verb }) => (verb === 'patch' ? 'reset-before' : 'pass');
    setting.proxy.reset();
    await setting.stop();
    expect(await tokenIn(setting)).toBe(first);
    setting.proxy.onCall = () => 'pass';
    await setting.start();
    await until('it was renewed', async () => (await tokenIn(setting)) !== first);
    await keys.verify((await tokenIn(setting))!);
  });
});

describe('a lab that ends while its token is renewed', () => {
  it.each(['in the lab', 'in the intent'] as const)('(%s) is deleted, and nothing of it comes back', async (where) => {
    const { setting } = await signed(SHORT);
    await setting.spawn(aLab());
    const held = await holdPatch(setting, where === 'in the lab' ? setting.namespaceOf() : setting.controller);
    await setting.labs.delete(aKey());
    held.release();
    await setting.untilForgotten();
    await until('the call has been answered', () => !setting.proxy.held.has(held));
    expect(await setting.secretNames()).toEqual([]);
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
    expect(
      setting.log.filter((line) => line.includes('is gone, or was replaced') && line.includes('"level":40')),
    ).toEqual([]);
  });

  it('has failed, and its secrets stay removed', async () => {
    const { setting } = await signed(SHORT);
    await setting.spawn(aLab());
    const held = await holdPatch(setting, setting.controller);
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    await setting.untilCleaned();
    held.release();
    const since = performance.now();
    await until('a renewal would have come', () => performance.now() - since > SHORT);
    const intent = await setting.client.get(Secrets, setting.intentRef());
    expect(intent?.data).toBeUndefined();
    expect(intent?.metadata?.annotations).not.toHaveProperty('labwright.dev/token-renewed');
    expect(await setting.secretNames()).toEqual([]);
    expect(setting.state().phase).toBe('failed');
    // A lab that takes its place has a token of its own.
    await setting.spawn(aLab());
    expect(await tokenIn(setting)).toBeDefined();
  });

  it('ends as any other when every lab is renewed all the time', async () => {
    // Ten renewals a second for each: whatever is written about a lab meets one.
    const { setting } = await signed(200);
    const users = Array.from({ length: 24 }, (_, index) => `user-${index}`);
    await Promise.all(users.map((username) => setting.spawn(aLab({ username }))));
    await until('every token was renewed', async () => {
      const times = await Promise.all(users.map((username) => renewedAt(setting, aKey(username))));
      return !times.includes(undefined);
    });
    const failing = users.slice(0, 12);
    await Promise.all([
      ...failing.map((username) =>
        setting.client.delete(Pods, setting.podRef(aKey(username)), { gracePeriodSeconds: 0 }),
      ),
      ...users.slice(12).map((username) => setting.labs.delete(aKey(username))),
    ]);
    for (const username of failing) {
      await setting.untilCleaned(aKey(username));
      expect((await setting.client.get(Secrets, setting.intentRef(aKey(username))))?.data).toBeUndefined();
    }
    for (const username of users.slice(12)) {
      await setting.untilForgotten(aKey(username));
      expect(await setting.secretNames(aKey(username))).toEqual([]);
    }
  });

  it('does not get a Secret that was removed or replaced by somebody else', async () => {
    const { setting } = await signed(SHORT);
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: setting.names().secret };
    await setting.client.delete(Secrets, ref);
    await until('that is said', () => setting.log.some((line) => line.includes('is gone, or was replaced')));
    expect(await setting.secretNames()).not.toContain(setting.names().secret);

    await setting.spawn(aLab({ username: 'bob' }));
    const bob = { namespace: setting.namespaceOf(aKey('bob')), name: setting.names(aKey('bob')).secret };
    await setting.client.delete(Secrets, bob);
    await setting.client.create(Secrets, { metadata: bob, data: { token: 'Zm9yZWlnbg==' } });
    await until('that is said', () =>
      setting.log.some((line) => line.includes('replaced') && line.includes(labSlug(aKey('bob')))),
    );
    expect(await tokenIn(setting, aKey('bob'))).toBe('foreign');
    expect(setting.state(aKey('bob')).status).toBe('running');
  });
});

describe('a controller without keys', () => {
  it('promises no lab that needs a signed token', async () => {
    const keys = await TestKeys.make();
    const config = signedConfig(LONG);
    const tokens = keys.tokens(config);
    tokens.ready = () => Promise.reject(Object.assign(new Error('no keys'), { code: 'not_ready' }));
    const setting = await clusters.setting({ config, tokens });
    await expect(setting.labs.create(aLab())).rejects.toThrow('no keys');
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
  });
});

describe('a controller that signs no tokens any more', () => {
  it('starts no lab without the token that it was promised', async () => {
    const { setting } = await signed(LONG, { namespaces: 'perLab' });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'namespaces' ? 'reset-before' : 'pass';
    await setting.labs.create(aLab());
    await setting.stop();
    setting.proxy.onCall = () => 'pass';
    await setting.start({ config: aConfig(), tokens: undefined });
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'Error' });
    expect(setting.state().message).toContain('signing is not enabled on this server');
    await setting.untilMarkedClean();
    expect(await setting.pod()).toBeUndefined();
  });
});

describe('a lab without a signed token', () => {
  it.each(['caller', 'none'] as const)(
    '(%s) is never touched, also when the configuration has changed since',
    async (source) => {
      const base = aConfig();
      const setting = await clusters.setting({
        config: { ...base, lab: { ...base.lab, token: { source, lifetime: SHORT } } },
      });
      await setting.spawn(aLab());
      expect(await tokenIn(setting)).toBe(source === 'caller' ? PLANTED.token : undefined);
      const since = performance.now();
      const config = signedConfig(SHORT);
      await setting.restart({ config, tokens: (await TestKeys.make()).tokens(config) });
      await until('a renewal would have come', () => performance.now() - since > SHORT);
      expect(setting.proxy.requests.calls(since, touchesTokens(setting))).toEqual([]);
      expect(await tokenIn(setting)).toBe(source === 'caller' ? PLANTED.token : undefined);
    },
  );
});

/** Text of base64 where it is some. */
function atobOr(text: string): string {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes.toString('utf8') : text;
}
