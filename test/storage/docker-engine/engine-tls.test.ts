import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DockerEngine } from '../../../src/storage/docker-engine/docker-engine.ts';
import { closeServer, FakeEngine } from './support/fake-engine.ts';

const run = promisify(execFile);
let folder: string;
let server: ReturnType<typeof createServer>;
let address: string;

/** A key and a certificate that the folder's CA vouches for. */
async function certify(name: string, extension: string): Promise<void> {
  const at = (file: string) => join(folder, file);
  await writeFile(at(`${name}.ext`), extension);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at(`${name}-key.pem`)];
  await run('openssl', ['req', ...key, '-subj', `/CN=${name}`, '-out', at(`${name}.csr`)]);
  const by = ['-CA', at('ca.pem'), '-CAkey', at('ca-key.pem'), '-CAcreateserial', '-days', '1'];
  const files = ['-in', at(`${name}.csr`), '-out', at(`${name}.pem`), '-extfile', at(`${name}.ext`)];
  await run('openssl', ['x509', '-req', ...files, ...by]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'labwright-tls-'));
  const at = (file: string) => join(folder, file);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', at('ca-key.pem')];
  await run('openssl', ['req', '-x509', ...key, '-subj', '/CN=ca', '-days', '1', '-out', at('ca.pem')]);
  await certify('server', 'subjectAltName=IP:127.0.0.1');
  await certify('client', 'extendedKeyUsage=clientAuth');
  const [ca, cert, serverKey] = await Promise.all(
    ['ca.pem', 'server.pem', 'server-key.pem'].map((name) => readFile(at(name))),
  );
  const tls = { ca, cert, key: serverKey, requestCert: true, rejectUnauthorized: true };
  server = createServer(tls as object, new FakeEngine().handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await closeServer(server);
  await rm(folder, { recursive: true, force: true });
});

async function ask(tls: string | undefined): Promise<unknown> {
  const engine = new DockerEngine({ address, tls });
  try {
    return await engine.version();
  } finally {
    await engine.close();
  }
}

it('shows its certificate to an engine that asks for one, as soon as it is there', async () => {
  await expect(ask(folder)).rejects.toThrow('ENOENT');
  await writeFile(join(folder, 'cert.pem'), await readFile(join(folder, 'client.pem')));
  await writeFile(join(folder, 'key.pem'), await readFile(join(folder, 'client-key.pem')));
  await expect(ask(folder)).resolves.toEqual({ api: '1.45', isPodman: false });
});

it('is refused without one', async () => {
  await expect(ask(undefined)).rejects.toMatchObject({ name: 'EngineError', status: 0 });
});

it('does not talk to an engine that another CA vouches for', async () => {
  const other = await mkdtemp(join(tmpdir(), 'labwright-tls-'));
  for (const name of ['cert.pem', 'key.pem']) await writeFile(join(other, name), await readFile(join(folder, name)));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(other, 'ca-key.pem')];
  await run('openssl', ['req', '-x509', ...key, '-subj', '/CN=other', '-days', '1', '-out', join(other, 'ca.pem')]);
  await expect(ask(other)).rejects.toThrow('certificate');
  await rm(other, { recursive: true, force: true });
});
