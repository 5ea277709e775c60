import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startRealCluster } from '../cluster.ts';
import { Transcript } from '../transcript.ts';
import { People } from './browser.ts';
import { installController } from './controller.ts';
import { Deployment } from './deployment.ts';
import { installHub } from './real-hub.ts';
import { hubScenes } from './scenes.ts';

/**
 * A real JupyterHub and Labwright in pods of a real cluster, as the manifests in deploy/ install them, and people with
 * real browsers in front. Prints a transcript and keeps pictures; exit code 0 only if every claim held.
 */
const { values } = parseArgs({
  options: {
    /** Folder with the scripts that start the cluster and make images. */
    kube: { type: 'string', default: join(import.meta.dirname, '../../../../shared/kube') },
    /** Where the pictures go, and the logs. */
    pictures: { type: 'string', default: 'e2e-pictures' },
    /** Play only scenes whose name has this. */
    only: { type: 'string', default: '' },
  },
});

const transcript = new Transcript();
transcript.say('starting the cluster and making the images');
const cluster = await startRealCluster(values.kube);
const deployment = new Deployment(values.kube);
const ending: (() => Promise<void> | void)[] = [() => cluster.close(), () => deployment.close()];
try {
  const hubImage = await deployment.buildHub(await deployment.image('hub'));
  const image = await deployment.buildController();
  transcript.say('installing the hub');
  const hub = await installHub(deployment, hubImage);
  ending.push(() => hub.remove());
  transcript.say('installing Labwright');
  const controller = await installController(deployment, {
    image,
    labImage: cluster.labImage,
    publicUrl: hub.url,
    prefix: cluster.prefix,
    serviceToken: hub.serviceToken,
  });
  ending.push(
    () => controller.remove(),
    () => cluster.removeNamespaces(),
  );
  await hub.ready();
  const people = await People.start(hub, values.pictures);
  ending.push(() => people.close());
  for (const [name, play] of Object.entries(hubScenes)) {
    if (name.includes(values.only)) {
      await transcript.part(name, () => play({ cluster, hub, people, controller, transcript }));
    }
  }
  writeFileSync(join(values.pictures, 'hub.log'), await hub.log());
  writeFileSync(join(values.pictures, 'labwright.log'), await controller.log());
} catch (error) {
  transcript.hold('the run came to its end', false, error instanceof Error ? error.message : String(error));
} finally {
  for (const end of ending.toReversed()) await end();
}
transcript.summary();
process.exitCode = transcript.failures.length === 0 ? 0 : 1;
