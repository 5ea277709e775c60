import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AlwaysLeader } from '../../../src/reconcile/leader.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { ImagesSetting, type RunningImages } from './images-setting.ts';

let cluster: TestCluster;
let setting: ImagesSetting;
beforeAll(async () => {
  cluster = await startCluster();
});
beforeEach(async () => {
  setting = await ImagesSetting.open(cluster);
});
afterEach(async () => {
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

const { signal } = new AbortController();
const tagsOf = ({ images }: RunningImages) => images.offered().map(({ tag }) => tag?.tag);
const digestOf = ({ images }: RunningImages, tag: string) =>
  images.offered().find((image) => image.tag?.tag === tag)?.digest;
const sourceOf = ({ images }: RunningImages) => images.sources()[0];
const untilRead = (running: RunningImages) => until('the source is read', () => sourceOf(running)?.readAt !== null);
const aFollower = () => Object.assign(new AlwaysLeader(), { run: () => Promise.resolve() });

describe('a source of images', () => {
  it('offers the tags of its repository, newest first, the wanted ones with their digests', async () => {
    const digests = new Map(['1.0.0', '2.0.0', '10.0.0', 'edge'].map((tag) => [tag, setting.registry.push(tag)]));
    const running = setting.start();
    await untilRead(running);
    expect(tagsOf(running)).toEqual(['10.0.0', '2.0.0', '1.0.0', 'edge']);
    expect(digestOf(running, '10.0.0')).toBe(digests.get('10.0.0'));
    expect(running.images.offered().filter(({ isWanted }) => isWanted)).toMatchObject([
      { reference: setting.registry.reference('10.0.0'), classes: ['latest-release'], architectures: ['amd64'] },
      { reference: setting.registry.reference('2.0.0'), classes: [] },
    ]);
  });

  it('is read by the leader alone, and known to every replica and after a restart', async () => {
    const digest = setting.registry.push('1.0.0');
    const follower = setting.start(setting.config(), aFollower());
    const leader = setting.start();
    await untilRead(follower);
    expect(digestOf(follower, '1.0.0')).toBe(digest);
    const asked = setting.registry.server.seen.length;
    await leader.stop();
    setting.registry.trouble = 'cut';
    const again = setting.start();
    await untilRead(again);
    expect(digestOf(again, '1.0.0')).toBe(digest);
    // It was read a moment ago, by whichever replica.
    expect(setting.registry.server.seen).toHaveLength(asked);
  });

  it('keeps its last list when it cannot be read, and says since when and why', async () => {
    const digest = setting.registry.push('1.0.0');
    const before = setting.start();
    await untilRead(before);
    await before.stop();
    const hourAgo = Date.now() - 3_600_000;
    await setting.rewrite({ readAt: hourAgo });
    setting.registry.trouble = { status: 500, body: '' };
    const running = setting.start();
    const problem = await until('it says what is wrong', () => sourceOf(running)?.problem ?? undefined);
    expect(problem).toMatchObject({ reason: 'RegistryUnavailable' });
    expect(problem.since).toBeGreaterThan(hourAgo);
    expect(sourceOf(running)?.readAt).toBe(hourAgo);
    expect(digestOf(running, '1.0.0')).toBe(digest);
    expect(running.logs.filter((line) => line.includes('an image source cannot be read'))).toHaveLength(1);
  });

  it('forgets tags that are deleted, and remembers what one that has moved stood for', async () => {
    const old = setting.registry.push('1.0.0');
    setting.registry.push('2.0.0');
    const before = setting.start();
    await untilRead(before);
    await before.stop();
    await setting.rewrite({ readAt: 0 });
    setting.registry.remove('2.0.0');
    const moved = setting.registry.push('1.0.0');
    const running = setting.start();
    await until('the tag is gone', () => tagsOf(running).length === 1);
    expect(running.images.offered()).toMatchObject([{ digest: moved, former: [old] }]);
  });

  it('is read anew where somebody has damaged what was known', async () => {
    setting.registry.push('1.0.0');
    const running = setting.start();
    await untilRead(running);
    setting.registry.push('2.0.0');
    await setting.damage();
    await until('it is read anew', () => tagsOf(running).length === 2);
  });

  it('that is not configured any more takes its ConfigMap with it', async () => {
    setting.registry.push('1.0.0');
    const running = setting.start();
    await untilRead(running);
    running.parts.use(setting.config({ sources: [], list: [{ reference: setting.registry.reference('1.0.0') }] }));
    await until('it is gone', async () => (await setting.stored()) === undefined);
    await until('the list is looked up', async () => (await setting.stored('listed')) !== undefined);
  });

  it('is written by one of two leaders, and known to both', async () => {
    setting.registry.push('1.0.0');
    const [one, other] = [setting.start(), setting.start()];
    await Promise.all([untilRead(one), untilRead(other)]);
    expect([tagsOf(one), tagsOf(other)]).toEqual([['1.0.0'], ['1.0.0']]);
    expect((await setting.stored())?.problem).toBeNull();
  });

  it('that cannot be read stops nothing else', async () => {
    setting.registry.push('1.0.0');
    const running = setting.start(
      setting.config({
        sources: [
          { name: 'science', repository: `${setting.registry.server.host}/labs/science` },
          { name: 'gone', repository: '127.0.0.1:1/labs/gone' },
        ],
      }),
    );
    await untilRead(running);
    const gone = await until('it says what is wrong', () => running.images.sources()[1]?.problem ?? undefined);
    expect(gone.reason).toBe('RegistryUnavailable');
    expect(tagsOf(running)).toEqual(['1.0.0']);
  });
});

describe('an image that a profile names', () => {
  it('is looked up and wanted as those of the list are, and nobody asks for it when it is started', async () => {
    const [listed, chosen] = ['1.0.0', '2.0.0'].map((tag) => setting.registry.push(tag));
    const name = setting.registry.reference('2.0.0');
    const config = setting.config(
      { sources: [], list: [{ reference: setting.registry.reference('1.0.0') }] },
      undefined,
      { profiles: [{ name: 'gpu', options: { image: { choices: [{ name: 'a', image: name }] } } }] },
    );
    const { images } = setting.start(config);
    await until('both are known', () => images.wanted().length === 2);
    expect(images.wanted().map(({ digest }) => digest)).toEqual([listed, chosen]);
    const asked = setting.registry.server.seen.length;
    const pinned = await images.pin({ reference: name, name, digest: '' }, signal);
    expect(pinned.reference).toBe(`${name}@${chosen}`);
    expect(setting.registry.server.seen).toHaveLength(asked);
  });
});

describe('an image of the list', () => {
  const listed = (pin = 'preferred') =>
    setting.config({ sources: [], list: [{ reference: setting.registry.reference('1.0.0') }], pin });
  const image = () => ({ reference: setting.registry.reference('1.0.0'), name: 'Lab', digest: '' });

  it('is looked up before anybody asks for it', async () => {
    const digest = setting.registry.push('1.0.0');
    const { images } = setting.start(listed());
    await until('its digest is known', () => images.offered()[0]?.digest === digest);
    expect(images.offered()).toMatchObject([{ architectures: ['amd64'], classes: [], origin: image().reference }]);
  });

  it('is asked for once by all who start it at once, where nobody has looked it up', async () => {
    const digest = setting.registry.push('1.0.0');
    const { images } = setting.start(listed(), aFollower());
    const pinned = await Promise.all(Array.from({ length: 20 }, () => images.pin(image(), signal)));
    expect(new Set(pinned.map(({ reference }) => reference))).toEqual(new Set([`${image().reference}@${digest}`]));
    expect(setting.registry.server.lines.filter((line) => line.endsWith('/manifests/1.0.0'))).toHaveLength(1);
  });

  it('is refused where the registry says that it is not there', async () => {
    const { images } = setting.start(listed(), aFollower());
    await expect(images.pin(image(), signal)).rejects.toMatchObject({ code: 'unknown_image', status: 400 });
  });

  it('runs by its tag where the registry says nothing, unless it must not', async () => {
    setting.registry.trouble = 'cut';
    const { images } = setting.start(listed(), aFollower());
    expect(await images.pin(image(), signal)).toEqual(image());
    const asked = setting.registry.server.seen.length;
    expect(await images.pin(image(), signal)).toEqual(image());
    // It is left alone for a while.
    expect(setting.registry.server.seen).toHaveLength(asked);
    const strict = setting.start(listed('required'), aFollower());
    await expect(strict.images.pin(image(), signal)).rejects.toMatchObject({
      ...{ code: 'registry_unavailable', status: 503, retryAfter: 30 },
    });
  });

  it('runs by its tag at once where the leader has just asked in vain', async () => {
    setting.registry.trouble = { status: 500, body: '' };
    const { images } = setting.start(listed());
    await until('the leader has asked', async () => (await setting.stored('listed'))?.problem ?? undefined);
    await until('it is known', async () => {
      const asked = setting.registry.server.seen.length;
      expect(await images.pin(image(), signal)).toEqual(image());
      return setting.registry.server.seen.length === asked;
    });
  });

  it('runs by its tag where nothing is pinned, and nobody is asked', async () => {
    setting.registry.push('1.0.0');
    const { images } = setting.start(listed('never'));
    expect(await images.pin(image(), signal)).toEqual(image());
    expect(setting.registry.server.seen).toEqual([]);
  });
});
