import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { type KeyServiceOptions, KeyService, type KeyStorage, type KeyTiming } from '../../src/auth/keys/service.ts';
import { until } from '../reconcile/support/until.ts';
import { runKeys } from '../support/run-keys.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const QUICK: Partial<KeyTiming> = { reread: 20, pause: 5, retry: 5 };
const LIFETIMES = { signing: 60 * MINUTE, sealing: DAY };

/** What is kept, in memory, with a version as Kubernetes has it. */
class Shelf implements KeyStorage {
  readonly name = 'Secret hub/labwright-keys';
  data: Record<string, string> | undefined;
  version = 0;
  reads = 0;
  /** Called before each write. */
  onWrite: () => void = () => undefined;
  broken = false;

  async read() {
    this.reads += 1;
    if (this.broken) throw new Error('the store does not answer');
    const { data, version } = this;
    return Promise.resolve(data === undefined ? undefined : { data, version: String(version) });
  }

  async write(data: Record<string, string>, version: string | undefined) {
    this.onWrite();
    const expected = this.data === undefined ? undefined : String(this.version);
    if (version !== expected) return Promise.resolve(false);
    this.put(data);
    return Promise.resolve(true);
  }

  put(data: Record<string, string> | undefined) {
    this.data = data;
    this.version += 1;
  }
}

const running: { halt: AbortController; ended: Promise<void> }[] = [];
const log: string[] = [];

function start(store: KeyStorage, options: Partial<KeyServiceOptions> = {}): KeyService {
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
  const service = new KeyService({ store, logger, lifetimes: LIFETIMES, timing: QUICK, ...options });
  const halt = new AbortController();
  running.push({ halt, ended: runKeys(service, halt.signal) });
  return service;
}

async function stopAll() {
  for (const { halt } of running) halt.abort();
  await Promise.all(running.splice(0).map(({ ended }) => ended));
}

const logged = () => log.map((line) => JSON.parse(line) as { level: number; msg: string });

afterEach(async () => {
  await stopAll();
  log.length = 0;
});

describe('the keys', () => {
  it('are made by whoever finds none', async () => {
    const keys = start(new Shelf());
    expect(() => keys.signing.current()).toThrow(expect.objectContaining({ code: 'not_ready', status: 503 }));
    expect(() => keys.signing.jwks()).toThrow(expect.objectContaining({ code: 'not_ready' }));
    await keys.ready();
    const { kid, key } = keys.sealing.current();
    expect(key).toHaveLength(32);
    expect(keys.sealing.find(kid)).toBe(key);
    expect(keys.signing.jwks().keys).toEqual([
      {
        kty: 'EC',
        crv: 'P-256',
        alg: 'ES256',
        use: 'sig',
        kid: keys.signing.current().kid,
        x: expect.any(String) as string,
        y: expect.any(String) as string,
      },
    ]);
  });

  it('are the same for the next process and for one that is faster', async () => {
    const shelf = new Shelf();
    const first = start(shelf);
    await first.ready();
    const racing = new Shelf();
    racing.onWrite = () => {
      if (racing.data === undefined) racing.put(shelf.data);
    };
    const [second, third] = [start(shelf), start(racing)];
    await Promise.all([second.ready(), third.ready()]);
    for (const other of [second, third]) {
      expect(other.signing.current().kid).toBe(first.signing.current().kid);
      expect(other.sealing.current()).toEqual({ ...other.sealing.current(), kid: first.sealing.current().kid });
      expect(Buffer.from(other.sealing.current().key)).toEqual(Buffer.from(first.sealing.current().key));
    }
  });

  it('can be read again where nothing made with them lives, as sessions where nobody logs in', async () => {
    const shelf = new Shelf();
    const lifetimes = { signing: 1, sealing: 0 };
    await start(shelf, { lifetimes }).ready();
    await start(shelf, { lifetimes }).ready();
  });

  it('are rotated: the next is published first, and what was made before stays valid', async () => {
    const shelf = new Shelf();
    let now = Date.now();
    const keys = start(shelf, { now: () => now });
    await keys.ready();
    const first = keys.signing.current().kid;
    now += 29 * DAY;
    await until('the next key is published', () => keys.signing.jwks().keys.length === 2);
    expect(keys.signing.current().kid).toBe(first);
    now += DAY;
    const second = keys.signing.current().kid;
    expect(second).not.toBe(first);
    expect(keys.signing.jwks().keys.map(({ kid }) => kid)).toEqual([first, second]);
    const since = keys.signing.since();
    now += LIFETIMES.signing + 6 * MINUTE;
    await until('the first key is removed', () => keys.signing.jwks().keys.length === 1);
    expect(keys.signing.current().kid).toBe(second);
    expect(keys.signing.since()).toBe(since + 30 * DAY);
  });

  it('stay in use while the store does not answer', async () => {
    const shelf = new Shelf();
    const keys = start(shelf);
    await keys.ready();
    const { kid } = keys.signing.current();
    shelf.broken = true;
    const before = shelf.reads;
    await until('it was asked again and again', () => shelf.reads > before + 3);
    expect(keys.signing.current().kid).toBe(kid);
    expect(logged().filter(({ level }) => level >= 40)).toHaveLength(1);
    shelf.broken = false;
    await until('it says that all is well', () => logged().some(({ msg }) => msg === 'The keys can be used again.'));
  });

  it('are made anew when somebody has deleted them, which makes everything before invalid', async () => {
    const shelf = new Shelf();
    let now = Date.now();
    const keys = start(shelf, { now: () => now });
    await keys.ready();
    const { kid } = keys.signing.current();
    now += DAY;
    shelf.put(undefined);
    await until('there are other keys', () => keys.signing.current().kid !== kid);
    expect(keys.signing.since()).toBe(now);
    expect(logged().some(({ level, msg }) => level === 40 && msg.includes('deleted'))).toBe(true);
  });
});

describe('stored keys that are damaged', () => {
  const damages: Record<string, (data: Record<string, string>) => Record<string, string>> = {
    'not JSON': (data) => ({ ...data, 'signing.json': `x${data['signing.json']}` }),
    'of an empty list': (data) => ({ ...data, 'sealing.json': '[]' }),
    missing: ({ 'signing.json': signing = '' }) => ({ 'signing.json': signing }),
    'without a private part': (data) => ({ ...data, 'signing.json': data['signing.json']!.replace('"d":', '"e":') }),
    'on no curve': (data) => ({ ...data, 'signing.json': data['signing.json']!.replace(/"x":"[^"]*"/, '"x":"AAAA"') }),
    'cut short': (data) => ({
      ...data,
      'sealing.json': data['sealing.json']!.replace(/"key":"[^"]*"/, '"key":"AAAA"'),
    }),
  };

  it.each(Object.keys(damages))('(%s) are left alone, and named without their content', async (name) => {
    const shelf = new Shelf();
    await start(shelf).ready();
    await stopAll();
    const secrets = [...JSON.stringify(shelf.data).matchAll(/\\"(?:d|key)\\":\\"([\w-]+)\\"/g)].map(
      ([, value]) => value,
    );
    expect(secrets).toHaveLength(2);
    const damaged = damages[name]!(shelf.data!);
    shelf.put(damaged);
    const { version } = shelf;
    const keys = start(shelf);
    await until('it has complained', () => logged().some(({ level }) => level === 50));
    const before = shelf.reads;
    await until('it looks again and again', () => shelf.reads > before + 2);
    expect(keys.isReady).toBe(false);
    expect([shelf.data, shelf.version]).toEqual([damaged, version]);
    expect(logged().filter(({ level }) => level === 50)).toHaveLength(1);
    expect(logged().find(({ level }) => level === 50)?.msg).toMatch(
      /^The keys in Secret hub\/labwright-keys cannot be used: .*Restore them, or delete Secret hub\/labwright-keys/,
    );
    for (const secret of secrets) expect(log.join('')).not.toContain(secret);
  });

  it('do no harm to a process that has read them before', async () => {
    const shelf = new Shelf();
    const keys = start(shelf);
    await keys.ready();
    const { kid } = keys.signing.current();
    const good = shelf.data;
    shelf.put({});
    await until('it has complained', () => logged().some(({ level }) => level === 50));
    expect(keys.signing.current().kid).toBe(kid);
    shelf.put(good);
    await until('it says that all is well', () => logged().some(({ msg }) => msg === 'The keys can be used again.'));
  });
});

describe('a key that is not known', () => {
  it('is looked for at once, and no more often than the least pause allows', async () => {
    const shelf = new Shelf();
    const keys = start(shelf, { timing: { reread: 60 * MINUTE, pause: 50, retry: 5 } });
    await keys.ready();
    const started = performance.now();
    const reads = shelf.reads;
    expect(keys.sealing.find('unknown')).toBeUndefined();
    await until('it was read again', () => {
      keys.sealing.find('unknown');
      return shelf.reads >= reads + 3;
    });
    expect(performance.now() - started).toBeGreaterThan(90);
  });
});
