import { describe, expect, it, onTestFinished } from 'vitest';
import { useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';
import { ImagesSetting } from './images-setting.ts';

const clusters = useCluster({ concurrent: true });

describe.concurrent('a lab that was promised on a digest', () => {
  it('runs that image, though its tag was moved and deleted before another controller made the pod', async () => {
    const setting = await clusters.setting();
    const known = await ImagesSetting.open(setting.cluster);
    onTestFinished(() => known.close());
    const digest = known.registry.push('1.0.0');
    const reference = known.registry.reference('1.0.0');
    const { images } = known.start();
    await until('the source is read', () => images.offered().length === 1);
    const image = await images.pin({ reference, name: 'Lab', digest: '' }, new AbortController().signal);
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'pods' ? { status: 500, message: 'no' } : 'pass';
    await setting.labs.create({ ...aLab(), image });
    await setting.stop();
    known.registry.push('1.0.0');
    known.registry.remove('1.0.0');
    setting.proxy.onCall = () => 'pass';
    await setting.start();
    await setting.untilPhase('running');
    const pod = await setting.pod();
    expect(pod?.spec?.containers[0]?.image).toBe(`${reference}@${digest}`);
    expect(setting.labs.get(aKey())?.spec.image.digest).toBe(digest);
  });

  it('has the settings of its source, also when the tag is offered no more', async () => {
    const reference = `registry.example/labs/science:1@sha256:${'a'.repeat(64)}`;
    const source = {
      name: 'science',
      repository: 'registry.example/labs/science',
      lab: { extraLabels: { kind: 'science' } },
    };
    const setting = await clusters.setting({ config: aConfig({}, { images: { sources: [source] } }) });
    await setting.labs.create({ ...aLab(), image: { reference, name: '1', digest: '', origin: 'science' } });
    await setting.untilPhase('running');
    expect((await setting.pod())?.metadata?.labels).toMatchObject({ kind: 'science' });
  });
});
