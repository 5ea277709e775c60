import { writeFile } from 'node:fs/promises';
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
