import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryInCluster } from '../../src/app/try-in-cluster.ts';
import { type CommandResult, parseArguments, runCommand } from '../../src/cli/index.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';

let cluster: TestCluster;
let folder: string;
const BUILDS = { registry: { host: 'registry.example' }, builder: { image: 'registry.example/builder:1' } };

beforeAll(async () => {
  cluster = await startCluster();
  folder = await mkdtemp(join(tmpdir(), 'labwright-check-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await cluster.close();
});

interface Asked {
  readonly lab?: object;
  readonly builds?: object;
  readonly file?: string;
}

async function check({ lab, builds, file = join(folder, 'config.yaml') }: Asked): Promise<CommandResult> {
  const sizes = ['small', 'large'].map((name) => ({ name, cpu: 1, memory: '1Gi' }));
  const config = {
    baseUrl: 'https://hub.example.org',
    auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
    images: { list: [{ reference: 'example.org/lab:1' }] },
    lab: { sizes, namespacePrefix: cluster.uniqueName('check').slice(-22), ...lab },
    ...(builds === undefined ? {} : { builds: { ...BUILDS, ...builds } }),
  };
  await writeFile(file, JSON.stringify(config));
  const command = parseArguments(['check-config', '--cluster', file]);
  if (command.command !== 'check-config') throw new Error('another command');
  const connection = cluster.connection();
  return runCommand(command, (_config, tries) => tryInCluster(connection, tries));
}

/** Names of the namespaces that are there after it. */
async function left(): Promise<(string | undefined)[]> {
  const { items } = await cluster.client.list(Namespaces);
  const made = items.filter(({ metadata }) => metadata?.name?.includes('labwright-check') === true);
  return made.flatMap(({ metadata }) => (metadata?.deletionTimestamp === undefined ? [metadata?.name] : []));
}

describe('check-config --cluster', () => {
  it('says that the cluster takes a lab of each size, and leaves nothing there', async () => {
    const volumes = [{ name: 'home', persistentVolumeClaim: { storage: '1Gi', retain: true } }];
    const { stdout, stderr } = await check({ lab: { volumes, home: { volume: 'home' } } });
    expect(stderr).toBe('');
    expect(stdout).toContain('The cluster takes a lab of each size.');
    expect(await left()).toEqual([]);
  });

  it('tries profiles, and further objects of labs', async () => {
    const extraObjects = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { a: '{username}' } },
    ];
    const fine = await check({ lab: { profiles: [{ name: 'plain' }], extraObjects } });
    expect(fine.stdout).toContain('The cluster takes a lab of each size and each profile.');
    const odd = { apiVersion: 'example.org/v1', kind: 'Oddity', metadata: { name: 'odd' } };
    const unknown = await check({ lab: { extraObjects: [...extraObjects, odd] } });
    expect(unknown.stderr).toContain(
      'lab.extraObjects[1]: the cluster refuses the Oddity of a lab of size small: there is no such kind',
    );
    const wrong = await check({ lab: { profiles: [{ name: 'odd', lab: { extraObjects: [odd] } }] } });
    expect(wrong.stderr).toContain('lab.profiles[0]: the cluster refuses the Oddity of a lab: there is no such kind');
    expect(await left()).toEqual([]);
  });

  it('names the key of what only the cluster can know', async () => {
    const file = join(folder, 'classes.yaml');
    const { exitCode, stderr } = await check({ lab: { priorityClassName: 'no-such-class' }, file });
    if (cluster.kind === 'sandbox') return; // it has no priority classes
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`${file} cannot be used:\n  lab.priorityClassName: the cluster refuses the Pod of a lab`);
    expect(stderr).toContain('no PriorityClass with name no-such-class was found');
  });

  it('says that the cluster takes a build, where builds run in it, and leaves nothing there', async () => {
    const { stdout, stderr } = await check({ builds: {} });
    expect(stderr).toBe('');
    expect(stdout).toContain('The cluster takes a lab of each size, and the pod of a build.');
    expect(await left()).toEqual([]);
    const executors = [{ kind: 'docker', name: 'engine', address: 'unix:///run/engine.sock' }];
    expect((await check({ builds: { executors } })).stdout).toContain('The cluster takes a lab of each size.');
  });

  it('names the key of what it refuses of a build, whose Job it would take', async () => {
    const { exitCode, stderr } = await check({ builds: { podSecurity: 'restricted' } });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/\n {2}builds\.podSecurity: the cluster refuses the Pod of a build: .*violates PodSecurity/);
    expect(await left()).toEqual([]);
  });
});
