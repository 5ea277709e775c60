import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import './support/leaks.ts';
import { FakeHub, SERVICE_TOKEN } from './auth/jupyterhub/fake-hub.ts';
import { aFolder, closeAll, closeLater } from './sandbox/processes/support.ts';
import { canary } from './support/canary.ts';
import { ControllerProcess } from './support/controller-process.ts';
import { waitFor } from './support/wait-for.ts';

afterEach(closeAll);

/** The program with every way of telling who calls, and a hub that takes its time. */
async function aProgram(slowness: Promise<unknown>) {
  const hub = await FakeHub.start();
  closeLater(() => hub.close());
  hub.slowness = slowness;
  const tokenFile = join(await aFolder(), 'token');
  await writeFile(tokenFile, SERVICE_TOKEN);
  const program = await ControllerProcess.prepare({
    credentials: { sandbox: true },
    namespace: 'labwright',
    image: 'quay.io/jupyter/base-notebook:latest',
    auth: {
      jwt: [{ issuer: 'https://id.example.org', audience: 'labwright' }],
      serviceAccounts: { hub: ['jupyterhub/hub'] },
      jupyterhub: { apiUrl: hub.apiUrl, tokenFile, login: {} },
      proxyHeaders: { trustedAddresses: ['192.0.2.17/32'], userInfoUrl: 'https://data.example.org/user-info' },
    },
    lab: { token: { source: 'signed' } },
  });
  closeLater(() => program.close());
  program.start();
  await program.firstAnswer();
  const ask = () =>
    fetch(`${program.url}/labwright/spawner/v1/labs/ada`, {
      headers: { authorization: `Bearer ${canary('of-ada')}`, connection: 'close' },
    });
  return { program, hub, ask };
}

it('a command ends quietly where nobody reads all of it', { timeout: 60_000 }, async () => {
  const program = spawn(process.execPath, [new URL('../src/main.ts', import.meta.url).pathname, 'schema']);
  closeLater(() => Promise.resolve(void program.kill('SIGKILL')));
  const complaints: Buffer[] = [];
  program.stderr.on('data', (chunk: Buffer) => complaints.push(chunk));
  program.stdout.once('data', () => program.stdout.destroy());
  const [code] = (await once(program, 'close')) as [number | null];
  expect([code, Buffer.concat(complaints).toString()]).toEqual([0, '']);
});

it('the program ends at once where nobody waits', { timeout: 60_000 }, async () => {
  const { program } = await aProgram(Promise.resolve());
  const begun = performance.now();
  await program.kill('SIGTERM');
  expect(performance.now() - begun).toBeLessThan(1_900);
});

it(
  'the program ends soon though a hub does not answer, and tells those who wait for it',
  { timeout: 60_000 },
  async () => {
    const silence = Promise.withResolvers<void>();
    closeLater(() => Promise.resolve(silence.resolve()));
    const { program, hub, ask } = await aProgram(silence.promise);
    const waiting = ask();
    await waitFor('the hub to be asked', 10_000, () => (hub.asked.length > 0 ? true : undefined));
    const begun = performance.now();
    const [answer] = await Promise.all([waiting, program.kill('SIGTERM')]);
    expect(performance.now() - begun).toBeLessThan(4_500);
    expect([answer.status, await answer.json()]).toEqual([
      502,
      { detail: [expect.objectContaining({ type: 'bad_gateway' })] },
    ]);
  },
);

it(
  'the program ends soon though a Git host does not answer, and tells those who wait for it',
  { timeout: 60_000 },
  async () => {
    const asked = Promise.withResolvers<undefined>();
    const host = createServer(() => asked.resolve(undefined)).listen(0, '127.0.0.1');
    await once(host, 'listening');
    closeLater(async () => {
      host.closeAllConnections();
      await new Promise((resolve) => host.close(resolve));
    });
    const { port } = host.address() as AddressInfo;
    const token = canary('of-a-hub');
    const program = await ControllerProcess.prepare({
      credentials: { sandbox: true },
      namespace: 'labwright',
      image: 'quay.io/jupyter/base-notebook:latest',
      auth: { tokens: [{ role: 'hub', sha256: createHash('sha256').update(token).digest('hex') }] },
      config: {
        builds: {
          registry: { host: '127.0.0.1:1', insecure: true },
          repositories: { privateHosts: [`127.0.0.1:${port}`] },
          builder: { image: 'localhost/repo2docker:played' },
        },
      },
    });
    closeLater(() => program.close());
    program.start();
    await program.firstAnswer();
    const waiting = fetch(`${program.url}/labwright/builds/v1/builds`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ repository: `http://127.0.0.1:${port}/ada/lab` }),
    });
    await asked.promise;
    const [answer] = await Promise.all([waiting, program.kill('SIGTERM')]);
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { detail: [expect.objectContaining({ type: 'repository_unavailable' })] },
    ]);
  },
);

it(
  'the program says at start that homes end with the labs of a cluster, and nothing of it where they do not',
  {
    timeout: 60_000,
  },
  async () => {
    // Nothing answers there, which keeps nobody from starting.
    const kubeconfig = join(await aFolder(), 'kubeconfig');
    await writeFile(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: 'none', cluster: { server: 'http://127.0.0.1:1' } }],
        contexts: [{ name: 'none', context: { cluster: 'none', user: 'none' } }],
        users: [{ name: 'none', user: {} }],
        'current-context': 'none',
      }),
    );
    const startWith = async (lab: Record<string, unknown>) => {
      const image = 'quay.io/jupyter/base-notebook:latest';
      const program = await ControllerProcess.prepare({
        credentials: { kubeconfig },
        namespace: 'labwright',
        image,
        lab,
      });
      closeLater(() => program.close());
      program.start();
      await waitFor('a start', 30_000, () => (program.log.includes('"msg":"listening"') ? true : undefined));
      return program.log;
    };
    expect(await startWith({})).toContain('home directories are empty at each start, and end with the lab');
    const kept = { volumes: [{ name: 'home', persistentVolumeClaim: { storage: '1Gi' } }], home: { volume: 'home' } };
    expect(await startWith(kept)).not.toContain('home directories');
  },
);
