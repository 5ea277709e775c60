import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { canary } from '../../support/canary.ts';
import { type GitServer, startGitServer } from '../../support/git-server.ts';
import { type RealCluster, startRealCluster } from '../cluster.ts';
import { type FakeHub, startFakeHub } from '../fake-hub.ts';
import type { Transcript } from '../transcript.ts';
import { type Gates, startGates } from './gates.ts';
import { type Ground, type Labwright, startLabwright } from './labwright.ts';
import { Registry } from './registry.ts';

export interface BuildScene {
  readonly cluster: RealCluster;
  readonly hub: FakeHub;
  readonly transcript: Transcript;
  /** Open to everybody. */
  readonly git: GitServer;
  /** Wants the credentials that Labwright has. */
  readonly privateGit: GitServer;
  /** Wants credentials that nobody has. */
  readonly otherGit: GitServer;
  readonly gates: Gates;
  readonly registry: Registry;
  readonly labwright: Labwright;
  /** Image to build labs from. */
  readonly labImage: string;
  /** A smaller one, with a shell, Python and curl. */
  readonly baseImage: string;
  /** Another Labwright, with namespaces of its own and further settings of `builds`. */
  another(name: string, builds: Readonly<Record<string, unknown>>): Promise<Labwright>;
}

const BUILDER_FOLDER = join(import.meta.dirname, '../../../deploy/builder');

/** @param ending - gets what is to be ended after the run, the last first; also when this fails */
export async function prepare(
  options: { readonly kube: string; readonly builder: string | undefined },
  transcript: Transcript,
  ending: (() => Promise<void>)[],
): Promise<BuildScene> {
  const cluster = await startRealCluster(options.kube);
  ending.push(() => cluster.close());
  const { host, labImage, prefix } = cluster;
  const builder = options.builder ?? (await cluster.buildImage('labwright-builder', BUILDER_FOLDER));
  const credentials = { username: 'ada', password: canary(`git-${randomBytes(8).toString('hex')}`) };
  const started = async <Server extends { close(): Promise<void> }>(starting: Promise<Server>): Promise<Server> => {
    const server = await starting;
    ending.push(() => server.close());
    return server;
  };
  const hub = await started(startFakeHub(host));
  const gates = await started(startGates(host));
  const git = await started(startGitServer({ host }));
  const privateGit = await started(startGitServer({ host, credentials }));
  const otherGit = await started(startGitServer({ host, credentials: { ...credentials, password: 'unheard of' } }));
  const registryHost = labImage.slice(0, labImage.indexOf('/'));
  const registry = new Registry(`http://${registryHost}`);
  ending.push(
    () => registry.removeImages(prefix),
    () => cluster.removeNamespaces(),
  );
  const ground: Ground = {
    ...{ cluster, hub, builder, registryHost },
    gitHosts: [git, privateGit, otherGit].map(({ url }) => new URL(url).host),
    privateGit: { ...credentials, url: privateGit.url },
  };
  const another = (name: string, builds: Readonly<Record<string, unknown>>): Promise<Labwright> =>
    started(startLabwright(ground, name, builds));
  const labwright = await another('main', {});
  return {
    ...{ cluster, hub, transcript, git, privateGit, otherGit, gates, registry, labwright, labImage, another },
    baseImage: labImage.replace(/\/lab:/, '/base:'),
  };
}
