import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { takeFindings } from '../../support/canary.ts';
import { timed, took, Transcript } from '../transcript.ts';
import { watchObjects } from './objects.ts';
import { buildScenes } from './scenes.ts';
import { prepare } from './setting.ts';

/**
 * Real repositories, built by real repo2docker in pods of a real cluster, and labs from what comes of it; with pods and
 * controllers killed at bad moments. Prints a transcript; exit code 0 only if every claim held.
 */
const { values } = parseArgs({
  options: {
    /** Folder with the scripts that start the cluster and make images. */
    kube: { type: 'string', default: join(import.meta.dirname, '../../../../shared/kube') },
    /** Image that builds; default: made from deploy/builder. */
    builder: { type: 'string' },
    /** Play only scenes whose name matches this regular expression. */
    only: { type: 'string', default: '' },
  },
});

const transcript = new Transcript();
transcript.say('starting the cluster and making the images');
const ending: (() => Promise<void>)[] = [];
try {
  const scene = await prepare({ kube: values.kube, builder: values.builder }, transcript, ending);
  for (const [name, play] of Object.entries(buildScenes)) {
    if (!new RegExp(values.only).test(name)) continue;
    const { ms } = await timed(() => transcript.part(name, () => play(scene)));
    const objects = await watchObjects(scene);
    transcript.say(`   ${took(ms)}; ${objects} objects looked through for credentials`);
  }
  if (transcript.failures.length > 0) transcript.say(`the controller's last lines:\n${scene.labwright.process.output}`);
} catch (error) {
  transcript.hold('the run came to its end', false, error instanceof Error ? error.message : String(error));
} finally {
  for (const end of ending.toReversed()) await end();
}
const findings = takeFindings();
transcript.hold(
  'no planted credential was in an answer, an event, a log or an object but a Secret',
  findings.length === 0,
  findings.join('\n'),
);
transcript.summary();
process.exitCode = transcript.failures.length === 0 ? 0 : 1;
