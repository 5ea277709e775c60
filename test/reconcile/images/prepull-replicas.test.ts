import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { images, PrepullSetting, type PrepullSettingOptions } from './setting.ts';

let cluster: TestCluster;
const open: PrepullSetting[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const setting of open.splice(0)) await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

async function create(options: PrepullSettingOptions): Promise<PrepullSetting> {
  const setting = await PrepullSetting.create(cluster, options);
  open.push(setting);
  return setting;
}

const slow: PrepullSettingOptions['world'] = { pull: (_image, _node, signal) => wait(20, undefined, { signal }) };
const all = [0, 1, 2, 3, 4, 5];
const isWrite = (verb: string) => !['get', 'list', 'watch'].includes(verb);

describe('a leader that is killed', () => {
  /** From this call on, nothing of the process reaches the API server: as when it was killed before, or just after it was sent. */
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'before or after write %i is followed by one that does the rest',
    async (fatal) => {
      for (const moment of ['before', 'after'] as const) {
        const setting = await create({ nodes: 2, wanted: images(6) });
        let writes = 0;
        setting.proxy.onCall = (_n, { verb }) => {
          if (isWrite(verb)) writes += 1;
          if (writes < fatal) return 'pass';
          return writes === fatal && isWrite(verb) && moment === 'after' ? 'reset-after' : 'reset-before';
        };
        setting.start();
        await until('it has come so far, or is done', async () => {
          if (writes >= fatal) return true;
          return setting.nodes.pulls === 12 && (await setting.pods()).length === 0;
        });
        const dead = setting.stop();
        setting.proxy.onCall = () => 'pass';
        await dead;
        setting.start();
        await setting.untilWarm([0, 1]);
        expect(setting.nodes.pulls).toBe(12);
        await setting.close();
        open.pop();
      }
    },
  );
});

describe('two leaders at once', () => {
  it('pull everything, never twice on a node at once, and keep the bounds but for the moment in which both begin', async () => {
    const setting = await create({
      nodes: 6,
      wanted: images(6),
      prepull: { pullsAtOnce: 2, perRegistry: 2 },
      world: slow,
    });
    setting.start();
    setting.start();
    const seen: number[] = [];
    const watching = new AbortController();
    const counting = (async () => {
      while (!watching.signal.aborted) {
        const pods = await setting.pods();
        const nodes = pods.map(({ metadata }) => metadata?.annotations?.['labwright.dev/prepull-node']);
        expect(new Set(nodes).size).toBe(nodes.length);
        seen.push(pods.filter(({ status }) => status?.phase === 'Pending').length);
        await wait(5);
      }
    })();
    await setting.untilWarm(all);
    watching.abort();
    await counting;
    expect(Math.max(...seen)).toBeLessThanOrEqual(4);
    expect(setting.nodes.pulls).toBe(36);
  });
});
