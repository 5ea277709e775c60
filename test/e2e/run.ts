import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { takeFindings } from '../support/canary.ts';
import { ControllerProcess } from '../support/controller-process.ts';
import { startRealCluster } from './cluster.ts';
import { startFakeHub } from './fake-hub.ts';
import { type Scene, scenes } from './scenes.ts';
import { Transcript } from './transcript.ts';

/**
 * Real JupyterLab containers on a real Kubernetes through the REST API, with the controller killed at bad moments.
 * Prints a transcript; exit code 0 only if every claim held.
 */
const { values } = parseArgs({
  options: {
    /** Folder with the scripts that start the cluster. */
    kube: { type: 'string', default: join(import.meta.dirname, '../../../shared/kube') },
    /** Lab image; default: the one those scripts make. */
    image: { type: 'string' },
    'internal-url': { type: 'string', default: 'podIp' },
    /** Run only parts whose name contains this. */
    only: { type: 'string', default: '' },
  },
});

const transcript = new Transcript();
transcript.say('starting the cluster and making the lab image');
const cluster = await startRealCluster(values.kube, values.image);
const hub = await startFakeHub(cluster.host);
const namespace = `${cluster.prefix}-controller`;
await cluster.client.create(Namespaces, { metadata: { name: namespace } });
const controller = await ControllerProcess.prepare({
  credentials: { kubeconfig: cluster.kubeconfig },
  namespace,
  image: cluster.labImage,
  labEnv: (username) => hub.environment(username),
  lab: {
    namespacePrefix: cluster.prefix,
    namespaceRetention: '15s',
    internalUrl: values['internal-url'],
    sizes: [{ name: 'small', cpu: 1, memory: '1Gi', cpuRequest: '50m', memoryRequest: '128Mi' }],
  },
});

const scene: Scene = { cluster, hub, controller, namespace, transcript };
try {
  controller.start();
  const { ms } = await controller.firstAnswer();
  transcript.say(`the controller answers ${Math.round(ms)} ms after its start`);
  for (const [name, play] of Object.entries(scenes)) {
    if (name.includes(values.only)) await transcript.part(name, () => play(scene));
  }
} catch (error) {
  transcript.hold('the run came to its end', false, error instanceof Error ? error.message : String(error));
} finally {
  if (transcript.failures.length > 0) transcript.say(`the controller's last lines:\n${controller.output}`);
  await controller.close();
  await hub.close();
  await cluster.removeNamespaces();
  await cluster.close();
}
const findings = takeFindings();
transcript.hold('no planted credential was in an answer or in the log', findings.length === 0, findings.join('\n'));
transcript.summary();
process.exitCode = transcript.failures.length === 0 ? 0 : 1;
