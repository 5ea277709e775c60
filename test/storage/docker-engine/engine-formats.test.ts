import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { negotiate } from '../../../src/storage/docker-engine/api-version.ts';
import { registryAuth } from '../../../src/storage/docker-engine/registry-auth.ts';
import { tar } from '../../../src/storage/docker-engine/tar.ts';

it.each([
  ['1.41', '1.24', '1.41'],
  ['1.51', '1.44', '1.47'],
])('speaks the newest version that both know: there up to %s', (ApiVersion, MinAPIVersion, api) => {
  expect(negotiate({ ApiVersion, MinAPIVersion })).toEqual({ api, isPodman: false });
});

it.each([{ ApiVersion: '1.40' }, { ApiVersion: '1.60', MinAPIVersion: '1.50' }, { hello: 'world' }, null])(
  'refuses an engine that it has no version in common with: %j',
  (answer) => {
    expect(() => negotiate(answer)).toThrow();
  },
);

it('makes archives that tar can read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-tar-'));
  const content = 'é'.repeat(600);
  await writeFile(
    join(folder, 'a.tar'),
    tar([
      { name: 'd/', mode: 0o700 },
      { name: 'd/f', mode: 0o400, content },
    ]),
  );
  await promisify(execFile)('tar', ['-C', folder, '-xf', join(folder, 'a.tar')]);
  expect(await readFile(join(folder, 'd/f'), 'utf8')).toBe(content);
  expect((await stat(join(folder, 'd/f'))).mode & 0o777).toBe(0o400);
  await rm(folder, { recursive: true, force: true });
});

it('finds the credentials of Docker Hub for a name without a registry, and no others for any', () => {
  const config = JSON.stringify({ auths: { 'https://index.docker.io/v1/': { username: 'ada', password: 'x:y' } } });
  const decoded = JSON.parse(
    Buffer.from(registryAuth(config, 'ada/builder:1') ?? '', 'base64url').toString(),
  ) as object;
  expect(decoded).toMatchObject({ username: 'ada', password: 'x:y' });
  expect(registryAuth(config, 'registry.example.org/builder:1')).toBeUndefined();
  expect(registryAuth('{', 'builder')).toBeUndefined();
});

it.each([
  [{ identitytoken: 'refresh' }, { identitytoken: 'refresh', serveraddress: 'r.example' }],
  [{ registrytoken: 'bearer' }, { registrytoken: 'bearer', serveraddress: 'r.example' }],
  [
    { auth: Buffer.from('ada:x:y').toString('base64') },
    { username: 'ada', password: 'x:y', serveraddress: 'r.example' },
  ],
])('shows an engine whatever credential a docker config has: %j', (entry, expected) => {
  const config = JSON.stringify({ auths: { 'r.example': { auth: 'bm86' }, 'r.example/team': entry } });
  const header = registryAuth(config, 'r.example/team/builder:1') ?? '';
  expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual(expected);
});
