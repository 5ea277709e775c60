import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startGitHost, startRegistry } from '../../sandbox/index.ts';
import { canary } from '../support/canary.ts';
import { ControllerProcess } from '../support/controller-process.ts';
import { startScriptedHost } from '../support/scripted-host.ts';

/**
 * Asks a Labwright on the sandbox all that its OpenAPI document says can be asked, as a hub, a user and an administrator, with
 * schemathesis: it answers what the document says, takes what the document allows, and refuses what it forbids.
 *
 * usage: node test/peers/schemathesis.ts PROGRAM [--seed N] [--seconds N] [--role hub|user|admin] [-- ARGUMENT…]
 *   PROGRAM    schemathesis, as `.ci/schemathesis` installs it
 *   --seconds  for all roles together
 *   ARGUMENT   for schemathesis
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    role: { type: 'string' },
  },
});
const [named = '', ...more] = positionals;
const program = resolve(named);
const ROLES = ['hub', 'user', 'admin'] as const;
type Role = (typeof ROLES)[number];
const TOKENS: Readonly<Record<Role, string>> = { hub: canary('hub'), user: canary('user'), admin: canary('admin') };
const USER = { username: 'ada', name: 'Ada', uid: 1000, gid: 1000, groups: [] };
const PLENTY = { perSecond: 1_000_000, burst: 1_000_000 };

/** It keeps what it has found where it runs. */
const folder = mkdtempSync(join(tmpdir(), 'schemathesis-'));
const registry = await startRegistry();
// The repository of the examples; the commit is asked of an API as that of GitHub.
const gitHost = await startGitHost({ repositories: { 'ada/notebooks': { branches: ['main'] } } });
const gitHub = gitHost.url.replace('127.0.0.1', 'localhost');
const api = await startScriptedHost(({ url = '' }, response) => {
  const ref = /^\/repos\/ada\/notebooks\/commits\/(.+)$/.exec(url)?.[1]?.replace('HEAD', 'main');
  const commit = ref === undefined ? undefined : gitHost.commitOf('ada/notebooks', ref);
  if (commit === undefined) response.writeHead(ref === undefined ? 404 : 422).end();
  else response.end(commit);
});
const controller = await ControllerProcess.prepare({
  credentials: { sandbox: true },
  namespace: 'labwright',
  image: 'quay.io/jupyter/base-notebook:latest',
  auth: {
    tokens: ROLES.map((role) => ({
      role,
      sha256: createHash('sha256').update(TOKENS[role]).digest('hex'),
      ...(role === 'user' ? { user: USER } : {}),
    })),
  },
  config: {
    builds: {
      registry: { host: registry.host, url: `http://${registry.host}`, insecure: true },
      // Nobody else is asked, whatever repository is named.
      repositories: {
        allowed: [`^${gitHub}/`],
        github: { url: gitHub, apiUrl: api.url },
        privateHosts: [new URL(gitHub).host, api.host],
      },
      builder: { image: 'localhost/repo2docker:played' },
    },
    limits: {
      ...{ user: PLENTY, hub: PLENTY, admin: PLENTY, anonymous: PLENTY, failedAuthentication: PLENTY },
      streamsPerUser: 1000,
    },
  },
  lab: { internalUrl: 'podIp' },
});

async function ask(role: Role, seconds: number): Promise<number> {
  process.stdout.write(`\n--> as ${role}\n`);
  const args = [
    ...['--config-file', join(import.meta.dirname, 'schemathesis.toml')],
    ...['run', `${controller.url}/openapi.json`, '--header', `Authorization: Bearer ${TOKENS[role]}`],
    ...['--seed', values.seed, '--max-time', String(seconds), '--phases', 'examples,coverage,fuzzing'],
    // Labs become ready, and builds end, while their events are followed.
    ...['--request-timeout', '60', '--generation-database', 'none', '--no-color', '--warnings', 'off'],
    ...more,
  ];
  const [code] = (await once(spawn(program, args, { stdio: 'inherit', cwd: folder }), 'close')) as [number | null];
  return code ?? 1;
}

try {
  controller.start();
  await controller.firstAnswer();
  const roles = ROLES.filter((role) => values.role === undefined || role === values.role);
  for (const role of roles) {
    if ((await ask(role, Math.floor(Number(values.seconds) / roles.length))) !== 0) process.exitCode = 1;
  }
} finally {
  await controller.close();
  rmSync(folder, { recursive: true, force: true });
  await Promise.all([registry.close(), gitHost.close(), api.close()]);
}
