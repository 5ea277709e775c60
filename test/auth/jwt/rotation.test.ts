import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { issuerOverHttp } from '../../../src/auth/jwt/issuer-source.ts';
import { aLabState, API, fakeLabs, testApp } from '../../routes/support.ts';
import { until } from '../../reconcile/support/until.ts';
import { makeKey, startIssuer, type TestIssuer, type TestKey, type Weather } from './support/issuer.ts';
import { issuerConfig, startProvider, type TestProvider } from './support/provider.ts';

/** In each phase. */
const REQUESTS = 500;
const CONCURRENCY = 50;
const COOLDOWN_MS = 100;

let issuer: TestIssuer;
let provider: TestProvider;
afterEach(async () => {
  await provider.close();
  await issuer.close();
});

/** Requests over the whole app, and the statuses they got. */
function app() {
  const { call } = testApp({ identity: [provider.provider], labs: fakeLabs([aLabState()]) });
  return async (token: string) => {
    const answer = await call(`${API}/labs/ada`, { headers: { authorization: `Bearer ${token}` } });
    await answer.body?.cancel();
    return answer.status;
  };
}

describe('under load', { timeout: 60_000 }, () => {
  it('no good token is refused and no other is admitted, while keys rotate and the issuer goes and comes', async () => {
    const [first, second, third, foreign] = [
      await makeKey('1'),
      await makeKey('2'),
      await makeKey('3'),
      await makeKey('1'),
    ];
    issuer = await startIssuer([first]);
    // Keys count as old at once, so that dropped ones vanish within the test; 900 requests at once on a busy machine take
    // longer than requests are patient otherwise.
    const keys = { cooldownMs: COOLDOWN_MS, freshMs: 1, patienceMs: 20_000 };
    provider = startProvider({ issuers: [issuerConfig(issuer.issuer)], keys });
    const call = app();
    const ada = (key: TestKey) => issuer.sign({ preferred_username: 'ada' }, { key });
    const [of1, of2, of3, bad] = [await ada(first), await ada(second), await ada(third), await ada(foreign)];
    const bob = await issuer.sign({ preferred_username: 'bob' }, { key: first });

    /** How the issuer is for a while, and which tokens are good then. */
    interface Phase {
      readonly name: string;
      readonly keys: readonly TestKey[];
      readonly weather: Weather;
      readonly good: readonly string[];
    }
    const [two, three] = [
      [first, second],
      [first, second, third],
    ];
    const phases: Phase[] = [
      { name: 'one key', keys: [first], weather: 'fine', good: [of1] },
      { name: 'a second key', keys: two, weather: 'fine', good: [of1, of2] },
      { name: 'an outage', keys: three, weather: 'closed', good: [of1, of2] },
      { name: 'a broken issuer', keys: three, weather: 'broken', good: [of1, of2] },
      { name: 'the issuer again', keys: three, weather: 'fine', good: [of1, of2, of3] },
    ];
    const started = performance.now();
    const seen: Record<string, number> = {};
    const wrong: string[] = [];
    let begun = 0;
    let now = 0;
    /** Goes on to the next phase in the middle of it all, with fifty requests under way. */
    const phase = () => {
      now = Math.min(Math.floor(begun / REQUESTS), phases.length - 1);
      const current = phases[now]!;
      issuer.keys = current.keys;
      issuer.weather = current.weather;
      return current;
    };
    const worker = async () => {
      while (begun < REQUESTS * phases.length) {
        const { name, good, weather } = phase();
        // Of the third key there are tokens from the moment on in which the issuer has it, whether it can be asked or not.
        const tokens = [...good, bad, bob, ...(weather === 'fine' ? [] : [of3])];
        const token = tokens[begun++ % tokens.length]!;
        const status = await call(token);
        seen[`${name}: ${status}`] = (seen[`${name}: ${status}`] ?? 0) + 1;
        const allowed = good.includes(token) ? [200] : token === bad ? [401] : token === bob ? [403] : [503];
        // Whoever has waited for the end of the outage is admitted.
        if (token === of3 && phases[now]!.good.includes(of3)) allowed.push(200);
        if (!allowed.includes(status)) wrong.push(`${name}: token ${tokens.indexOf(token)} got ${status}`);
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    expect(wrong).toEqual([]);
    expect(Object.values(seen).reduce((sum, more) => sum + more)).toBe(REQUESTS * phases.length);
    expect(seen['an outage: 503']).toBeGreaterThan(50);

    // The first key is dropped: from some moment on its tokens are refused, and from then on for ever.
    issuer.keys = [second, third];
    await until('the dropped key is refused', async () => (await call(of1)) === 401);
    const after = await Promise.all(Array.from({ length: 300 }, () => Promise.all([call(of1), call(of2), call(of3)])));
    expect(new Set(after.map(String))).toEqual(new Set(['401,200,200']));
    expect(issuer.asked.jwks.length).toBeLessThanOrEqual((performance.now() - started) / COOLDOWN_MS + 1);
  });

  it('an attack with keys that nobody has lets good tokens through, new ones too', async () => {
    const [first, second, foreign] = [await makeKey('1'), await makeKey('2'), await makeKey('x')];
    issuer = await startIssuer([first]);
    provider = startProvider({
      issuers: [issuerConfig(issuer.issuer)],
      keys: { cooldownMs: COOLDOWN_MS, waiters: 40 },
    });
    const call = app();
    const claims = { preferred_username: 'ada' };
    const [of1, of2] = [await issuer.sign(claims, { key: first }), await issuer.sign(claims, { key: second })];
    const forged = await Promise.all(
      Array.from({ length: 50 }, (_, number) => issuer.sign(claims, { key: foreign, header: { kid: `x${number}` } })),
    );
    const started = performance.now();
    expect(await call(of1)).toBe(200);
    let over = false;
    const attacked = new Set<number>();
    const attack = async (token: string) => {
      while (!over) {
        attacked.add(await call(token));
        // What a socket would do: let others have their turn.
        await turn();
      }
    };
    const attackers = forged.map(attack);
    for (let request = 0; request < 100; request += 1) expect(await call(of1)).toBe(200);
    issuer.keys = [first, second];
    // One of the forty places among those who wait may be taken; then it is asked to try again, and never refused.
    const statuses: number[] = [];
    await until('the new key is known', async () => statuses[statuses.push(await call(of2)) - 1] === 200);
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
    for (let request = 0; request < 50; request += 1) expect(await call(of2)).toBe(200);
    over = true;
    await Promise.all(attackers);
    expect([...attacked].filter((status) => status !== 401 && status !== 503)).toEqual([]);
    expect(attacked.has(401)).toBe(true);
    expect(issuer.asked.jwks.length).toBeLessThanOrEqual((performance.now() - started) / COOLDOWN_MS + 1);
  });
});

describe('an issuer that', () => {
  it.each(['closed', 'silent', 'broken', 'garbage', 'elsewhere'] as const)(
    'is %s from the beginning makes tokens wait, not fail',
    async (weather) => {
      issuer = await startIssuer([await makeKey('1')]);
      issuer.weather = weather;
      provider = startProvider({ issuers: [issuerConfig(issuer.issuer)], keys: { cooldownMs: 10, patienceMs: 100 } });
      const token = await issuer.sign({ preferred_username: 'ada' });
      expect(await provider.show(token)).toMatchObject({ status: 503, code: 'not_ready' });
    },
  );

  it.each(['closed', 'broken', 'garbage', 'elsewhere'] as const)(
    'is %s where its keys are has not said that there are none',
    async (weather) => {
      issuer = await startIssuer([await makeKey('1')]);
      issuer.weather = weather;
      const config = issuerConfig(issuer.issuer, { jwksUri: issuer.jwksUri });
      provider = startProvider({ issuers: [config], keys: { cooldownMs: 10 } });
      expect(await provider.show(await issuer.sign({ preferred_username: 'ada' }))).toMatchObject({ status: 503 });
    },
  );

  it.each([
    ['names another issuer', { issuer: 'https://attacker.example.org' }, 'names another issuer'],
    ['names itself with a slash more', { issuer: 'x/' }, 'names another issuer'],
    ['says nothing of its keys', { jwks_uri: undefined }, 'no jwks_uri'],
    ['has its keys in a file', { jwks_uri: 'file:///etc/passwd' }, 'no jwks_uri'],
    ['has its keys nowhere', { jwks_uri: 'keys' }, 'no jwks_uri'],
  ])('%s in its discovery document is not believed', async (_what, discovery, why) => {
    issuer = await startIssuer([await makeKey('1')]);
    issuer.discovery = discovery;
    provider = startProvider({ issuers: [issuerConfig(issuer.issuer)], keys: { cooldownMs: 10, patienceMs: 500 } });
    expect(await provider.show(await issuer.sign({ preferred_username: 'ada' }))).toMatchObject({ status: 503 });
    expect(JSON.stringify(provider.logs)).toContain(why);
  });

  it.each([
    ['http://id.example.org/keys', false],
    ['https://elsewhere.example.org/keys', true],
  ])('is reached over https may have its keys at %s: %s', async (jwks_uri, isBelieved) => {
    const asked: string[] = [];
    const get = (url: string) => {
      asked.push(url);
      return Promise.resolve({ status: 200, body: { issuer: 'https://id.example.org/', jwks_uri, keys: [] } });
    };
    const http = { get, close: () => Promise.resolve() };
    const answer = await issuerOverHttp(
      http,
      'https://id.example.org/',
      undefined,
    )(new AbortController().signal).then(
      () => true,
      () => false,
    );
    expect(answer).toBe(isBelieved);
    const discovery = 'https://id.example.org/.well-known/openid-configuration';
    expect(asked).toEqual(isBelieved ? [discovery, jwks_uri] : [discovery]);
  });

  it('names no keys in its tokens may rotate them all the same', async () => {
    const [first, second] = [await makeKey('1'), await makeKey('2')];
    issuer = await startIssuer([first]);
    provider = startProvider({ issuers: [issuerConfig(issuer.issuer)], keys: { cooldownMs: 10 } });
    const of = (key: TestKey) => issuer.sign({ preferred_username: 'ada' }, { key, header: { kid: undefined } });
    expect(await provider.show(await of(first))).toMatchObject({ username: 'ada' });
    issuer.keys = [second];
    expect(await provider.show(await of(second))).toMatchObject({ username: 'ada' });
    expect(await provider.show(await of(first))).toMatchObject({ status: 401 });
    issuer.keys = [first, second];
    expect(await provider.show(await of(first))).toMatchObject({ username: 'ada' });
    expect(await provider.show(await of(second))).toMatchObject({ username: 'ada' });
  });

  it('says where its keys are needs no discovery', async () => {
    issuer = await startIssuer([await makeKey('1')]);
    provider = startProvider({ issuers: [issuerConfig('https://issuer.example.org', { jwksUri: issuer.jwksUri })] });
    const token = await issuer.sign({ iss: 'https://issuer.example.org', preferred_username: 'ada' });
    expect(await provider.show(token)).toMatchObject({ username: 'ada' });
    expect(issuer.asked.discovery).toEqual([]);
  });
});
