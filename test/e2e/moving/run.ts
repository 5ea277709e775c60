import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Namespaces, PersistentVolumeClaims, ServiceAccounts } from '../../../src/storage/kubernetes/resources.ts';
import { canary, takeFindings } from '../../support/canary.ts';
import type { LabApi } from '../../support/lab-api.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type RealCluster, startRealCluster } from '../cluster.ts';
import { startFakeHub } from '../fake-hub.ts';
import { Deployment } from '../hub/deployment.ts';
import { Transcript } from '../transcript.ts';
import { Installation } from './installation.ts';
import { createApi, type MovingScene } from './labs.ts';
import { movingScenes } from './scenes.ts';
import { ACCOUNT, HOMES_CLAIM, HUB_USERS, sharedSite, type SiteFacts } from './site.ts';

/**
 * A hub that has moved in from KubeSpawner: Labwright in pods of a real cluster, as deploy/kubernetes-shared installs it, with all
 * labs in a namespace of the site and on a claim that is there. Prints a transcript; exit code 0 only if every claim held.
 */
const { values } = parseArgs({
  options: {
    /** Folder with the scripts that start the cluster and make images. */
    kube: { type: 'string', default: join(import.meta.dirname, '../../../../shared/kube') },
    /** Play only scenes whose name has this. */
    only: { type: 'string', default: '' },
  },
});

const transcript = new Transcript();
transcript.say('starting the cluster and making the images');
const cluster = await startRealCluster(values.kube);
const deployment = new Deployment(values.kube);
const hub = await startFakeHub(cluster.host, HUB_USERS);
const ending: (() => Promise<void> | void)[] = [
  () => cluster.close(),
  () => deployment.close(),
  () => hub.close(),
  () => cluster.removeNamespaces(),
];
try {
  const image = await deployment.buildController();
  const secret = (): string => canary(randomBytes(16).toString('hex'));
  const facts: SiteFacts = {
    ...{ labImage: cluster.labImage, namespace: `${cluster.prefix}-site`, hubApiUrl: hub.apiUrl },
    tokens: { hub: secret(), users: { ada: secret() } },
  };
  await makeSite(cluster, facts.namespace);
  const { namespace } = facts;
  const installation = new Installation({ cluster, deployment, image, namespace, serviceToken: hub.serviceToken });
  await installation.awaitRoom();
  transcript.say('installing Labwright');
  ending.push(() => installation.remove());
  await installation.apply(sharedSite(facts));

  const clients = new Map<string, LabApi>();
  const clientOf = (token: string): LabApi => {
    const client = clients.get(token);
    if (client === undefined) throw new Error('There is no such caller');
    return client;
  };
  const close = async (): Promise<void> => {
    for (const client of clients.values()) await client.close();
  };
  const scene: MovingScene = {
    ...{ cluster, deployment, hub, installation, facts, transcript },
    api: () => clientOf(facts.tokens.hub),
    apiOf: (username) => clientOf(facts.tokens.users[username] ?? ''),
    async connect() {
      await close();
      const url = await installation.url();
      for (const token of [facts.tokens.hub, ...Object.values(facts.tokens.users)]) {
        clients.set(token, createApi(url, token, { hub, facts }));
      }
      const ask = () =>
        scene
          .api()
          .running()
          .catch(() => undefined);
      await waitFor('Labwright to answer at its Service', 60_000, ask, 200);
    },
  };
  ending.push(close);
  await scene.connect();
  for (const [name, play] of Object.entries(movingScenes)) {
    if (name.includes(values.only)) await transcript.part(name, () => play(scene));
  }
  if (transcript.failures.length > 0)
    transcript.say(`the last lines of Labwright:\n${(await installation.log()).slice(-20_000)}`);
} catch (error) {
  transcript.hold('the run came to its end', false, error instanceof Error ? error.message : String(error));
} finally {
  for (const end of ending.toReversed()) await end();
}
const findings = takeFindings();
transcript.hold('no planted credential was in an answer or in the log', findings.length === 0, findings.join('\n'));
transcript.summary();
process.exitCode = transcript.failures.length === 0 ? 0 : 1;

/** What a site has made before Labwright comes: a namespace, a claim for all homes and an account for labs. */
async function makeSite({ client }: RealCluster, namespace: string): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await client.create(Namespaces, { metadata: { name: namespace, labels } });
  await client.create(ServiceAccounts, { metadata: { name: ACCOUNT, namespace } });
  await client.create(PersistentVolumeClaims, {
    metadata: { name: HOMES_CLAIM, namespace },
    spec: {
      ...{ accessModes: ['ReadWriteOnce'], storageClassName: 'standard' },
      resources: { requests: { storage: '1Gi' } },
    },
  });
}
