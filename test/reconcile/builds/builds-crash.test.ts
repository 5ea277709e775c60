import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { parseBuild } from '../../../src/domain/build/build-intent.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { said } from './gate.ts';
import { BuildSetting } from './setting.ts';

const PATIENCE_MS = 60_000;

let cluster: TestCluster;
let setting: BuildSetting;
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

it(
  'leaves it to Kubernetes to end a build whose time is over while no controller runs',
  { timeout: 90_000 },
  async () => {
    setting = await BuildSetting.create(cluster, {
      scripts: () => ({ lines: [said('one')], hang: true }),
      config: { deadlines: { total: '3s' } },
    });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'building');
    await setting.stop();
    await until(
      'Kubernetes has ended it',
      async () => {
        const [job] = await setting.jobs();
        return job !== undefined && parseBuild(job)?.finished !== null;
      },
      PATIENCE_MS,
    );
    for (const { status } of await setting.pods()) expect(status?.phase).toBe('Failed');
    await setting.start();
    const events = await setting.events(spec.id);
    expect(events.at(-1)).toMatchObject({ type: 'failed', reason: 'DeadlineExceeded' });
    await setting.untilClean(spec.id);
  },
);
