import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildState } from '../../../src/domain/build/build.ts';
import { AlwaysLeader } from '../../../src/reconcile/leader.ts';
import { aBuildState, COMMIT, fakeBuilds } from '../../routes/builds/build-support.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { ImagesSetting, type RunningImages } from './images-setting.ts';

let cluster: TestCluster;
let setting: ImagesSetting;
/** What the builds know at this moment; they forget. */
let states: BuildState[];
/** How often they were asked. */
let looks: number;
beforeAll(async () => {
  cluster = await startCluster();
});
beforeEach(async () => {
  setting = await ImagesSetting.open(cluster);
  states = [];
  looks = 0;
});
afterEach(async () => {
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

const SOURCE = 'built';
const NOTEBOOKS = 'https://github.com/ada/notebooks';

/** A build that is over, with its image in the registry. @returns the image by its digest */
function build(at: number, { url = NOTEBOOKS, ref = 'main' } = {}): string {
  const name = `labs/${url.split('/').slice(-2).join('-')}`;
  const layer = Number.parseInt(randomUUID().slice(0, 8), 16);
  const image = `${setting.registry.server.host}/${name}@${setting.registry.contents.putImage(name, null, [1_000, layer])}`;
  const repository = { provider: 'gh' as const, url, ref, commit: COMMIT, binderSlug: '' };
  const spec = { id: randomUUID(), repository, image: `${setting.registry.server.host}/${name}:${at}` };
  states = [aBuildState({ phase: 'ready', image, finishedAt: at }, spec), ...states];
  return image;
}

function remove(image: string): void {
  const [name, digest] = image.slice(image.indexOf('/') + 1).split('@');
  setting.registry.contents.remove(`${name}/manifests/${digest}`);
}

interface Asking {
  readonly rules?: object;
  readonly repositories?: object;
  readonly source?: object;
}

const configOf = ({ rules = {}, repositories = { allowed: ['github\\.com/'] }, source = {} }: Asking = {}) =>
  setting.config(
    { sources: [{ name: SOURCE, builds: { repositories: ['github\\.com/ada/'], newest: 2, ...rules }, ...source }] },
    { repositories },
  );
const builds = () => ({
  ...fakeBuilds(),
  list(filter: object) {
    looks += 1;
    return fakeBuilds(states).list(filter);
  },
});
const start = (asking?: Asking, election?: AlwaysLeader) => setting.start(configOf(asking), election, builds());
const aFollower = () => Object.assign(new AlwaysLeader(), { run: () => Promise.resolve() });
const offered = ({ images }: RunningImages) => images.offered().map(({ reference }) => reference);
/** As it does by itself every minute. */
const look = ({ parts }: RunningImages) => parts.controllers.forEach((each) => each.enqueue(SOURCE));
const untilOffered = (running: RunningImages, ...images: readonly string[]) =>
  until('these are offered', () => offered(running).join(' ') === images.join(' ')).catch(() =>
    expect(offered(running)).toEqual(images),
  );
const untilRead = ({ images }: RunningImages) =>
  until('the source is read', () => images.sources()[0]?.readAt !== null);
/** Looks while there is nothing to be seen. */
async function lookInVain(running: RunningImages): Promise<void> {
  const before = looks;
  look(running);
  await until('it has looked', () => looks > before);
}
/** Questions for images. */
const questions = () => setting.registry.server.lines.filter((line) => line.includes('/manifests/'));
/** Due again, and without what one process remembers. */
async function again(running: RunningImages, asking?: Asking): Promise<RunningImages> {
  await running.stop();
  await setting.rewrite({ readAt: 0 }, SOURCE);
  return start(asking);
}

describe('a source of images that were built here', () => {
  it('offers the newest of each repository by their digests, called by what they were built from', async () => {
    const old = build(1);
    const middle = build(2, { ref: 'next' });
    const newest = build(3);
    const other = build(1, { url: 'https://github.com/ada/course' });
    build(4, { url: 'https://github.com/grace/private' });
    const running = start({ rules: { wanted: 1 }, source: { title: 'Built', groups: ['staff'] } });
    await untilOffered(running, other, newest, middle);
    expect(offered(running)).not.toContain(old);
    expect(running.images.offered()).toMatchObject([
      { name: 'ada/course (main, 1a2b3c4)', isWanted: true },
      {
        ...{ name: 'ada/notebooks (main, 1a2b3c4)', digest: newest.split('@')[1], tag: null, origin: SOURCE },
        ...{ group: 'Built', groups: ['staff'], isWanted: true, isListed: true, architectures: ['amd64'] },
      },
      { name: 'ada/notebooks (next, 1a2b3c4)', isWanted: false, isListed: true },
    ]);
    expect(running.images.sources()).toMatchObject([{ name: SOURCE, tags: 3, problem: null }]);
  });

  it('takes in a build that has become ready, long before it is read again', async () => {
    const first = build(1);
    const running = start();
    await untilOffered(running, first);
    const next = build(2);
    look(running);
    await untilOffered(running, next, first);
  });

  it('asks nobody where no build has become ready, and for each image where one has', async () => {
    const image = build(1);
    const running = start();
    await untilOffered(running, image);
    const before = questions().length;
    await lookInVain(running);
    const next = build(2);
    look(running);
    await untilOffered(running, next, image);
    expect(questions()).toHaveLength(before + 2);
  });

  it('remembers what was built when the builds know it no more, on every replica and after a restart', async () => {
    const image = build(1);
    const follower = start({}, aFollower());
    const running = start();
    await untilOffered(running, image);
    states = [];
    const restarted = await again(running);
    await untilOffered(follower, image);
    await until('it is read', async () => ((await setting.stored(SOURCE))?.readAt ?? 0) > 0);
    await untilOffered(restarted, image);
  });

  it('drops what the registry does not have any more, and does not take it in again from its build', async () => {
    const [gone, stays] = [build(1), build(2)];
    const before = start();
    await untilOffered(before, stays, gone);
    remove(gone);
    const running = await again(before);
    await untilOffered(running, stays);
    const count = questions().length;
    await lookInVain(running);
    const next = build(3);
    look(running);
    await untilOffered(running, next, stays);
    expect(questions()).toHaveLength(count + 2);
  });

  it('offers older ones in the place of what the registry does not have', async () => {
    const [oldest, old, gone] = [build(1), build(2), build(3)];
    remove(gone);
    await untilOffered(start(), old, oldest);
  });

  it('drops nothing where the registry does not answer, takes in what was built, and says what is wrong', async () => {
    const image = build(1);
    const before = start();
    await untilOffered(before, image);
    setting.registry.trouble = { status: 500, body: '' };
    const next = build(2);
    const running = await again(before);
    await untilOffered(running, next, image);
    expect(running.images.sources()).toMatchObject([{ problem: { reason: 'RegistryUnavailable' } }]);
    expect(running.images.offered()).toMatchObject([{ size: null }, { architectures: ['amd64'] }]);
  });

  it('does not offer again what the registry did not have, when it does not answer any more', async () => {
    const [gone, stays] = [build(1), build(2)];
    remove(gone);
    const running = start({ rules: { newest: 5 } });
    await untilOffered(running, stays);
    setting.registry.trouble = 'cut';
    const next = build(3);
    look(running);
    await untilOffered(running, next, stays);
  });

  it('leaves a registry that does not answer alone for the rest of a reading', async () => {
    const images = Array.from({ length: 20 }, (_, at) => build(at)).reverse();
    setting.registry.trouble = 'cut';
    const running = start({ rules: { newest: 20 } });
    await untilOffered(running, ...images);
    // Four images at once, each with four attempts.
    expect(questions().length).toBeLessThanOrEqual(16);
  });

  it('keeps what each of two leaders has seen of the builds', async () => {
    const image = build(1);
    const [one, other] = [start(), start()];
    await Promise.all([untilOffered(one, image), untilOffered(other, image)]);
    const next = build(2);
    for (const running of [one, other]) look(running);
    await Promise.all([untilOffered(one, next, image), untilOffered(other, next, image)]);
    expect(await setting.stored(SOURCE)).toMatchObject({ problem: null });
  });

  it('offers no more than the configuration says now, and what it remembers of the rest', async () => {
    const notebooks = build(1);
    const course = build(1, { url: 'https://github.com/ada/course' });
    const running = start();
    await untilOffered(running, course, notebooks);
    states = [];
    const narrow = configOf({ rules: { repositories: ['ada/notebooks'] } });
    // At once, before anything is written anew.
    expect(running.parts.by(narrow).offered()).toMatchObject([{ reference: notebooks }]);
    running.parts.use(narrow);
    await until('it is forgotten', async () => (await setting.stored(SOURCE))?.built?.length === 1);
  });

  it('leaves out repositories that may not be built', async () => {
    build(1);
    const course = build(1, { url: 'https://github.com/ada/course' });
    await untilOffered(start({ repositories: { denied: ['ada/notebooks'] } }), course);
  });

  it('leaves out commits that anybody can have made, where these are built', async () => {
    const main = build(1);
    for (const ref of [COMMIT, 'refs/pull/7/head', 'pull/7/head']) build(2, { ref });
    const open = { allowed: ['github\\.com/'], unreachedCommits: true };
    await untilOffered(start({ repositories: open, rules: { newest: 5 } }), main);
  });

  it('offers commits where only those of branches and tags are built', async () => {
    const image = build(1, { ref: COMMIT });
    await untilOffered(start(), image);
  });

  it('waits for the builds to be known', async () => {
    const image = build(1);
    let isReady = false;
    const running = setting.start(configOf(), undefined, { ...builds(), isReady: () => isReady });
    await untilRead(running);
    expect(offered(running)).toEqual([]);
    isReady = true;
    look(running);
    await untilOffered(running, image);
  });
});
