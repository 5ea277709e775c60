import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { KeyService, type KeyTiming } from '../../../src/auth/keys/service.ts';
import { runKeys } from '../../support/run-keys.ts';
import { LabTokens } from '../../../src/auth/keys/lab-tokens.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import { KeyStore } from '../../../src/storage/kubernetes/key-store.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../../../src/storage/kubernetes/resources.ts';
import { TestKeys } from '../../reconcile/support/tokens.ts';
import { until } from '../../reconcile/support/until.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { aConfig, testApp } from '../support.ts';

const JWKS = '/labwright/.well-known/jwks.json';
const DAY = 24 * 3_600_000;
/** A key lives for a day of a clock that the test moves, and is looked for many times a second. */
const QUICK: Partial<KeyTiming> = { rotation: DAY, lead: DAY / 4, reread: 10, pause: 5, retry: 5 };
const STEP = DAY / 48;

let cluster: TestCluster;
const closing: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await cluster.close();
});

/** The app on a socket. */
async function serve(signing: TestKeys['signing']) {
  const { app } = testApp({ signing });
  const logger = pino({ level: 'silent' });
  const server = await startServer({ app, host: '127.0.0.1', port: 0, logger });
  closing.push(() => server.close());
  return new URL(JWKS, `http://127.0.0.1:${server.address.port}`);
}

/** One controller: keys from the cluster, tokens, and the routes. */
async function startController(namespace: string, now: () => number) {
  const config = aConfig({
    lab: { ...aConfigLab(), token: { source: 'signed', audience: ['https://data.example.org'] } },
  });
  const client = new KubeClient({ connection: cluster.connection() });
  const store = new KeyStore(client, namespace);
  let reads = 0;
  const read = async (signal: AbortSignal) => {
    const found = await store.read(signal);
    reads += 1;
    return found;
  };
  const keys = new KeyService({
    store: { name: store.name, read, write: (...args) => store.write(...args) },
    logger: pino({ level: 'silent' }),
    lifetimes: { signing: config.lab.token.lifetime, sealing: DAY },
    timing: QUICK,
    now,
  });
  const halt = new AbortController();
  const ended = runKeys(keys, halt.signal);
  closing.push(async () => {
    halt.abort();
    await ended;
    await client.close();
  });
  await keys.ready();
  return { reads: () => reads, tokens: new LabTokens(config, keys, now), url: await serve(keys.signing) };
}

function aConfigLab() {
  return { sizes: [{ name: 'small', cpu: 1, memory: '2Gi' }] };
}

async function home(): Promise<string> {
  const namespace = cluster.uniqueName('jwks');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  return namespace;
}

const expected = { issuer: 'https://hub.example.org/labwright', audience: 'https://data.example.org', typ: 'at+jwt' };
const rachel = { username: 'rachel', servername: '', groups: [] };

describe('the keys of lab tokens', () => {
  it('are found by their issuer, and may be kept for ten minutes', async () => {
    const { signing } = await TestKeys.make();
    const { app } = testApp({ signing });
    const issuer = await app.request('/labwright/.well-known/openid-configuration');
    expect(await issuer.json()).toEqual({
      issuer: 'https://hub.example.org/labwright',
      jwks_uri: `https://hub.example.org${JWKS}`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
    });
    const jwks = await app.request(JWKS);
    expect(await jwks.json()).toEqual(signing.jwks());
    for (const { headers } of [issuer, jwks]) expect(headers.get('cache-control')).toBe('public, max-age=600');
  });

  it('are shown without their private halves', async () => {
    const { app } = testApp({ signing: (await TestKeys.make()).signing });
    const { keys } = (await (await app.request(JWKS)).json()) as { keys: object[] };
    expect(Object.keys(keys[0]!).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  });

  it('are none where nothing is signed', async () => {
    const { app } = testApp();
    expect(await (await app.request(JWKS)).json()).toEqual({ keys: [] });
  });

  it('are answered with 503 while they cannot be read', async () => {
    const store = new KeyStore(cluster.client, 'none');
    const { signing } = new KeyService({
      store,
      logger: pino({ level: 'silent' }),
      lifetimes: { signing: 1, sealing: 1 },
    });
    const { app } = testApp({ signing });
    const response = await app.request(JWKS);
    expect(response.status).toBe(503);
    expect(response.headers.get('cache-control') ?? '').not.toContain('public');
  });
});

describe('another service', () => {
  it('checks the token of a lab with nothing but the address of the keys', async () => {
    const { tokens, url } = await startController(await home(), Date.now);
    const remote = createRemoteJWKSet(url);
    const { token } = await tokens.mint({ username: 'rachel', servername: 'gpu', groups: ['lunatics'] });
    const { payload } = await jwtVerify(token, remote, expected);
    expect(payload).toMatchObject({ sub: 'rachel', labwright_server: 'gpu', groups: ['lunatics'] });
    await expect(jwtVerify(token, remote, { ...expected, audience: 'another' })).rejects.toThrow(
      errors.JWTClaimValidationFailed,
    );
    const foreign = await new LabTokens(aConfig(), await TestKeys.make()).mint(rachel);
    await expect(jwtVerify(foreign.token, remote, expected)).rejects.toThrow(errors.JWKSNoMatchingKey);
  });

  it('finds every token good while two controllers rotate the keys under load', async () => {
    const namespace = await home();
    let now = Date.now();
    const controllers = [await startController(namespace, () => now), await startController(namespace, () => now)];
    const kids = new Set<string>();
    const verifiers = Array.from({ length: 8 }, (_, index) => new Verifier(controllers[index % 2]!.url, () => now));
    const failures: unknown[] = [];
    let done = false;
    const load = verifiers.map(async (verifier, index) => {
      while (!done && failures.length === 0) {
        const { token } = await controllers[(index + verifier.rounds) % 2]!.tokens.mint(rachel);
        kids.add(decodeProtectedHeader(token).kid!);
        await verifier.check(token).catch((error: unknown) => failures.push(error));
      }
    });
    // Four days: a step at a time, when every controller has read the keys and every verifier has been at work.
    for (let step = 0; step < 4 * 48; step += 1) {
      now += STEP;
      const seen = [...controllers.map(({ reads }) => reads), ...verifiers.map((verifier) => () => verifier.rounds)];
      const before = seen.map((count) => count());
      const all = () => seen.every((count, index) => count() >= before[index]! + 2);
      await until('everybody has been at work', () => failures.length > 0 || all());
    }
    done = true;
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(kids.size).toBeGreaterThanOrEqual(4);
    expect(verifiers.every(({ rounds }) => rounds >= 300)).toBe(true);
  }, 60_000);
});

/** Another service. It keeps a copy of the keys for nearly as long as it may, and asks for no key that it does not know. */
class Verifier {
  rounds = 0;
  readonly #now: () => number;
  readonly #remote: ReturnType<typeof createRemoteJWKSet>;
  readonly #recent: string[] = [];
  #fetchedAt = 0;

  constructor(url: URL, now: () => number) {
    this.#now = now;
    this.#remote = createRemoteJWKSet(url, { cacheMaxAge: Infinity, cooldownDuration: Infinity });
  }

  /** This token is good, and so is the oldest that has not expired yet. */
  async check(token: string): Promise<void> {
    const now = this.#now();
    if (now - this.#fetchedAt > 8 * STEP) {
      await this.#remote.reload();
      this.#fetchedAt = now;
    }
    this.#recent.push(token);
    while (decodeJwt(this.#recent[0] ?? token).exp! * 1000 <= now) this.#recent.shift();
    for (const each of [token, this.#recent[0] ?? token]) {
      await jwtVerify(each, this.#remote, { ...expected, currentDate: new Date(now) });
    }
    this.rounds += 1;
  }
}
