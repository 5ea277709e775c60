import { canary, takeFindings, watchObject, watchText } from '../../../test/support/canary.ts';
import type { KubernetesObject } from '@kubernetes/client-node';
import { ConfigMaps, Events, Jobs, Pods, Secrets, type Resource } from '../../../src/storage/kubernetes/resources.ts';
import type { Progress } from '../../plan.ts';
import type { Row } from '../../statistics.ts';
import type { Cluster } from '../cluster.ts';
import { GIT_HOST, Site } from '../site.ts';

const PLACES: readonly (readonly [string, Resource<KubernetesObject>])[] = [
  ['Jobs', Jobs],
  ['pods', Pods],
  ['ConfigMaps', ConfigMaps],
  ['events of Kubernetes', Events],
];

/** Credentials for a Git host and a registry are planted, and looked for wherever they must not be. */
export async function secrets(cluster: Cluster, progress: Progress): Promise<Row[]> {
  takeFindings();
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  const config = JSON.stringify({ auths: { 'registry.example.org': { auth: encode(`bench:${canary('push')}`) } } });
  const site = await Site.start(cluster, {
    builds: {
      registry: { credentials: 'push' },
      repositories: { credentials: [{ url: `http://${GIT_HOST}`, secret: 'git' }] },
    },
    prepare: async (namespace) => {
      const data = { username: encode('git'), password: encode(canary('fetch')) };
      await cluster.client.create(Secrets, { metadata: { name: 'git', namespace }, data });
      await cluster.client.create(Secrets, {
        metadata: { name: 'push', namespace },
        data: { 'config.json': encode(config) },
      });
    },
  });
  const rows: Row[] = [];
  const report = (where: string): void => {
    const found = takeFindings();
    rows.push({ what: `credentials seen in ${where}`, seen: String(found.length), aim: '0' });
    for (const finding of found) progress(finding);
  };
  try {
    const running = site.read(site.question('l20-h3000'));
    const { observer, builds: namespace } = site;
    await observer.until('a build to run', () => [...observer.builds.values()].some(isRunning), 30_000);
    const { items } = await cluster.client.list(Secrets, { namespace });
    const values = items
      .flatMap(({ data = {} }) => Object.values(data))
      .map((text) => Buffer.from(text, 'base64').toString());
    const planted = values.some((text) => text.includes(canary('fetch'))) && values.includes(config);
    rows.push({ what: "the build's Secret has them while it runs", seen: planted ? 'yes' : 'no', aim: 'yes' });
    for (const [name, resource] of PLACES) {
      const { items: objects } = await cluster.client.list(resource, { namespace });
      watchObject(objects, name);
      report(name);
    }
    const reading = await running;
    watchText(JSON.stringify(reading), 'stream');
    report('the stream and the name of the image');
    report('calls to the API server outside of Secrets');
    const { api } = site.question('l3');
    const metrics = await fetch(new URL('/metrics', api), { headers: { authorization: `Bearer ${site.token}` } });
    watchText(await metrics.text(), 'metrics');
    report(metrics.status === 404 ? '/metrics (there is none)' : '/metrics');
  } finally {
    await site.close();
  }
  report("the controller's log");
  const first = rows.find(({ what }) => what.includes('pods'));
  return rows.map((row) => (row === first ? { ...row, peer: 'environment, annotation, name' } : row));
}

function isRunning({ running, terminated }: { running?: number; terminated?: number }): boolean {
  return running !== undefined && terminated === undefined;
}
