import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Authorities } from '../../../src/storage/outbound/authorities.ts';
import { RegistryClient } from '../../../src/storage/registry/registry-client.ts';
import { RefResolver } from '../../../src/storage/git/ref-resolver.ts';
import { problemOf, repositoriesConfig } from '../git/support.ts';

const run = promisify(execFile);
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const pkt = (text: string) => (text.length + 4).toString(16).padStart(4, '0') + text;

let directory: string;
let host: string;
let server: Server;
const open: { close(): Promise<void> }[] = [];

/** An authority, and a certificate of it for 127.0.0.1. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'authorities-'));
  const openssl = (...words: string[]) => run('openssl', words, { cwd: directory });
  for (const name of ['ca', 'other']) {
    await openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`],
    );
  }
  await openssl(
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=host'],
    ...['-keyout', 'host.key', '-out', 'host.csr'],
  );
  await writeFile(join(directory, 'names'), 'subjectAltName=IP:127.0.0.1');
  await openssl(
    ...['x509', '-req', '-in', 'host.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1'],
    ...['-extfile', 'names', '-out', 'host.pem'],
  );
  const key = await readFile(join(directory, 'host.key'));
  const cert = await readFile(join(directory, 'host.pem'));
  server = createServer({ key, cert }, (request, response) => {
    if (request.url?.startsWith('/v2/') === true) {
      response.writeHead(200, {
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
        'docker-content-digest': `sha256:${'ab'.repeat(32)}`,
      });
      response.end();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
    response.end(`${pkt('# service=git-upload-pack\n')}0000${pkt(`${COMMIT} refs/heads/main\n`)}0000`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

function resolver(authorities: Authorities) {
  const made = new RefResolver({
    config: repositoriesConfig({ privateHosts: [host], refCache: 0 }),
    credentials: { forUrl: () => Promise.resolve(undefined) },
    logger: pino({ level: 'silent' }),
    authorities,
  });
  open.push(made);
  return made.resolve({ provider: 'git', url: `https://${host}/lab` }, 'main');
}

function digest(authorities: Authorities) {
  const config = { host, insecure: false, timeout: 5_000, patience: 5_000 } as const;
  const credentials = () => Promise.resolve(null);
  const client = new RegistryClient({
    config,
    credentials,
    logger: pino({ level: 'silent' }),
    retryMs: 0,
    authorities,
  });
  open.push(client);
  return client.findDigest(`${host}/lab:1`);
}

describe('authorities of a site', () => {
  it('are trusted by what asks Git hosts and the registry, besides those of everybody', async () => {
    const authorities = new Authorities(join(directory, 'ca.pem'));
    expect((await resolver(authorities)).commit).toBe(COMMIT);
    expect(await digest(authorities)).toBe(`sha256:${'ab'.repeat(32)}`);
  });

  it('are named as what is missing where a certificate is of none of them', async () => {
    for (const authorities of [new Authorities(undefined), new Authorities(join(directory, 'other.pem'))]) {
      const problem = await problemOf(resolver(authorities));
      expect([problem.reason, problem.transient, problem.message]).toEqual([
        'CertificateNotTrusted',
        true,
        `The certificate of ${host} is not trusted here: it is of an authority that is not known.`,
      ]);
      expect((await problemOf(digest(authorities))).message).toBe(
        `The registry ${host} has a certificate that is not trusted here: it is of an authority that is not known.`,
      );
    }
  });

  it('are read again when their file is replaced', async () => {
    const file = join(directory, 'current.pem');
    await writeFile(file, await readFile(join(directory, 'other.pem')));
    const authorities = new Authorities(file);
    expect((await problemOf(resolver(authorities))).reason).toBe('CertificateNotTrusted');
    await writeFile(file, await readFile(join(directory, 'ca.pem')));
    expect((await resolver(authorities)).commit).toBe(COMMIT);
    expect(await authorities.read()).toBe(await readFile(join(directory, 'ca.pem'), 'utf8'));
  });

  it('that cannot be read begin no build, and say so', async () => {
    const authorities = new Authorities(join(directory, 'none.pem'));
    expect(await problemOf(authorities.read())).toMatchObject({ reason: 'CertificateNotTrusted', transient: true });
    expect((await problemOf(resolver(authorities))).message).toContain('cannot be read');
    expect(await new Authorities(undefined).read()).toBeNull();
  });
});
