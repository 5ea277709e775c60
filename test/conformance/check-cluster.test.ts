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

beforeAll(async () => {
  cluster = await startCluster();
  folder = await mkdtemp(join(tmpdir(), 'labwright-check-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await cluster.close();
});

async function check(lab: object, file = join(folder, 'config.yaml')): Promise<CommandResult> {
  const sizes = ['small', 'large'].map((name) => ({ name, cpu: 1, memory: '1Gi' }));
  const config = {
    baseUrl: 'https://hub.example.org',
    auth: { proxyHeaders: { trustedAddresses: ['127.0.0.1/32'] } },
    images: { list: [{ reference: 'example.org/lab:1' }] },
    lab: { sizes, namespacePrefix: cluster.uniqueName('check').slice(-22), ...lab },
  };
  await writeFile(file, JSON.stringify(config));
  const command = parseArguments(['check-config', '--cluster', file]);
  if (command.command !== 'check-config') throw new Error('another command');
  const connection = cluster.connection();
  return runCommand(command, (_config, labs) => tryInCluster(connection, labs));
}

describe('check-config --cluster', () => {
  it('says that the cluster takes a lab of each size, and leaves nothing there', async () => {
    const { stdout, stderr } = await check({
      volumes: [{ name: 'home', persistentVolumeClaim: { storage: '1Gi', retain: true } }],
      home: { volume: 'home' },
    });
    expect(stderr).toBe('');
    expect(stdout).toContain('The cluster takes a lab of each size.');
    const { items } = await cluster.client.list(Namespaces);
    const made = items.filter(({ metadata }) => metadata?.name?.includes('labwright-check') === true);
    expect(made.filter(({ metadata }) => metadata?.deletionTimestamp === undefined)).toEqual([]);
  });

  it('names the key of what only the cluster can know', async () => {
    const file = join(folder, 'classes.yaml');
    const { exitCode, stderr } = await check({ priorityClassName: 'no-such-class' }, file);
    if (cluster.kind === 'sandbox') return; // it has no priority classes
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`${file} cannot be used:\n  lab.priorityClassName: the cluster refuses the Pod of a lab`);
    expect(stderr).toContain('no PriorityClass with name no-such-class was found');
  });
});
