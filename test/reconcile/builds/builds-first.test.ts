import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { BuildSetting } from './setting.ts';

let cluster: TestCluster;
let setting: BuildSetting | undefined;
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await setting?.close();
  setting = undefined;
});
afterAll(async () => {
  await cluster.close();
});

describe('a build', () => {
  it('runs, is pushed, and is ready with the digest that the registry has', async () => {
    setting = await BuildSetting.create(cluster);
    const { spec } = await setting.request();
    const events = await setting.events(spec.id);
    expect(events.at(-1)).toMatchObject({ type: 'ready' });
    await setting.untilClean(spec.id);
  });
});
