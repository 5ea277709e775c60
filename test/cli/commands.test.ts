import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Container } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { explainUsage, parseArguments, runCommand, type CommandResult } from '../../src/cli/index.ts';

const EXAMPLES = new URL('../../deploy/examples/', import.meta.url).pathname;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'labwright-cli-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function run(...args: string[]): Promise<CommandResult> {
  const command = parseArguments(args);
  if (command.command === 'serve') throw new Error('this test does not serve');
  return runCommand(command);
}

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly containers?: readonly { readonly image: string }[]; readonly hard?: unknown };
}

async function renderedBy(...args: string[]): Promise<Rendered[]> {
  const { exitCode, stdout, stderr } = await run('render', ...args);
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
}

/** A small configuration that builds. */
function withBuilds(builds: object): object {
  return {
    baseUrl: 'https://hub.example.org',
    auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
    images: { list: [{ reference: 'registry.example/lab:1' }] },
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
    builds: { builder: { image: 'registry.example/builder:1' }, registry: { host: 'registry.example' }, ...builds },
  };
}

describe('check-config', () => {
  it('says that a configuration can be used, and what was understood', async () => {
    const file = `${EXAMPLES}full.yaml`;
    const { exitCode, stdout, stderr } = await run('check-config', file);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')[0]).toBe(`${file} can be used.`);
    expect(stdout).toContain(
      '\nnote: the claim of the volume "staging" is deleted whenever a lab ends, with everything that was written to it (retain: false).\n',
    );
  });

  it('looks at the pods of profiles and of each of their choices', async () => {
    const resources = { requests: { cpu: '2' }, limits: { cpu: '1' } };
    const wrong = { name: 'b', lab: { sidecars: [{ name: 's', image: 'x:1', resources }] } };
    const profiles = [{ name: 'a', options: { o: { choices: [{ name: 'a' }, wrong] } } }];
    const file = join(folder, 'profiles.yaml');
    const sizes = [{ name: 'small', cpu: 1, memory: '1Gi' }];
    await writeFile(file, JSON.stringify({ ...withBuilds({}), lab: { sizes, profiles } }));
    const { exitCode, stderr } = await run('check-config', file);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/lab\.profiles\[0\]\.options\.o\.choices\[1\]/);
  });

  it('says which patterns take too long, and what is not offered without builds', async () => {
    const file = join(folder, 'slow.yaml');
    const image = '{value}';
    const profiles = [
      {
        name: 'a',
        options: {
          o: { repository: {}, writeIn: { pattern: '(a+)+', image } },
          p: { writeIn: { pattern: '.+:.+', image } },
        },
      },
    ];
    const sizes = [{ name: 'small', cpu: 1, memory: '1Gi' }];
    await writeFile(file, JSON.stringify({ ...withBuilds({}), builds: undefined, lab: { sizes, profiles } }));
    const { stdout } = await run('check-config', file);
    expect(stdout).toContain('profiles      a (asks for o, p)');
    expect(stdout).toContain('note: lab.profiles[0].options.o.writeIn.pattern takes so long over some texts');
    expect(stdout).not.toContain('options.p');
    expect(stdout).toContain(
      'note: repositories are not offered as long as builds is not set up (lab.profiles[0].options.o.repository).',
    );
  });

  it('says where no lab could start, since nothing says the ids of users', async () => {
    const remarkOn = async (change: object) => {
      const file = join(folder, 'users.yaml');
      await writeFile(file, JSON.stringify({ ...withBuilds({}), ...change }));
      return /note: (.*uid and gid.*)/.exec((await run('check-config', file)).stdout)?.[1];
    };
    expect(await remarkOn({})).toBe(
      'nothing says the uid and gid of users, and no lab starts without (users.defaults).',
    );
    expect(await remarkOn({ users: { byName: { ada: { uid: 1, gid: 1 } } } })).toBe(
      'users who are not in the configuration start no labs: nothing says their uid and gid (users.defaults).',
    );
    expect(await remarkOn({ users: { defaults: { uid: 1000, gid: 100 } } })).toBeUndefined();
    expect(await remarkOn({ auth: { jupyterhub: { apiUrl: 'http://hub.jhub:8081/hub/api' } } })).toBeUndefined();
  });

  it('says where hub and proxy are expected where the configuration does not say it', async () => {
    const hubAt = async (auth: object) => {
      const file = join(folder, 'hub.yaml');
      await writeFile(file, JSON.stringify({ ...withBuilds({}), auth }));
      return (await run('check-config', file)).stdout;
    };
    const tokens = [{ sha256: '0'.repeat(64), role: 'hub' }];
    expect(await hubAt({ tokens })).toContain('note: hub and proxy reach labs from the namespace of Labwright');
    expect(await hubAt({ jupyterhub: { apiUrl: 'http://hub.jhub:8081/hub/api' } })).toContain(
      'from namespace jhub only',
    );
  });

  it.each([
    ['{ volumes: [], home: {} }', true],
    ['{ volumes: [{ name: v, emptyDir: {} }], home: { volume: v } }', true],
    ['{ volumes: [{ name: v, nfs: { server: s, path: / } }], home: { volume: v } }', false],
    ['{ volumes: [{ name: v, nfs: { server: s, path: / } }], volumeMounts: [{ name: v, mountPath: /home }] }', false],
    ['{ volumes: [{ name: v, persistentVolumeClaim: { storage: 1Gi } }], home: { volume: v } }', false],
  ])('says whether home directories end with the lab: %s', async (lab, ends) => {
    const file = join(folder, 'home.yaml');
    const settings = { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }], ...(parse(lab) as object) };
    await writeFile(file, JSON.stringify({ ...withBuilds({}), lab: settings }));
    expect((await run('check-config', file)).stdout.includes('home directories are empty at each start')).toBe(ends);
  });

  it('says which executors of builds have credentials that cannot be read here', async () => {
    const file = join(folder, 'builds.yaml');
    await writeFile(join(folder, 'there.kubeconfig'), '');
    const executors = [
      { kind: 'kubernetes', name: 'big', kubeconfig: join(folder, 'none.kubeconfig') },
      { kind: 'kubernetes', name: 'small', kubeconfig: join(folder, 'there.kubeconfig') },
      { kind: 'docker', name: 'engine', address: 'tcp://engine:2376', tls: join(folder, 'none') },
      { kind: 'docker', name: 'socket', address: 'unix:///run/engine.sock' },
    ];
    await writeFile(file, JSON.stringify(withBuilds({ executors })));
    const { exitCode, stdout } = await run('check-config', file);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`note: the executor "big" cannot be used here: ${folder}/none.kubeconfig (ENOENT)`);
    expect(stdout).toContain(`note: the executor "engine" cannot be used here: ${folder}/none/ca.pem (ENOENT)`);
    expect(stdout.match(/note: the executor/g)).toHaveLength(2);
  });

  it('says which variables of builds are replaced', async () => {
    const file = join(folder, 'env.yaml');
    const env = { HTTPS_PROXY: 'http://proxy:3128', DOCKER_CONFIG: '/root', DOCKER_HOST: 'tcp://engine:2375' };
    await writeFile(file, JSON.stringify(withBuilds({ pod: { env } })));
    const { stdout } = await run('check-config', file);
    expect(stdout).toContain('note: builds.pod.env: DOCKER_CONFIG is replaced by what Labwright sets.');
    expect(stdout).not.toContain('HTTPS_PROXY');
    const executors = [{ kind: 'docker', name: 'socket', address: 'unix:///run/engine.sock' }];
    await writeFile(file, JSON.stringify(withBuilds({ pod: { env }, backend: { kind: 'socket' }, executors })));
    expect((await run('check-config', file)).stdout).toContain('note: builds.pod.env: DOCKER_CONFIG, DOCKER_HOST are');
  });

  it('says that certificate authorities of builds cannot be read here, or are none', async () => {
    const file = join(folder, 'authorities.yaml');
    const said = async (certificateAuthorities: string) => {
      await writeFile(file, JSON.stringify(withBuilds({ certificateAuthorities })));
      return (await run('check-config', file)).stdout;
    };
    expect(await said(join(folder, 'none.pem'))).toContain(
      `note: the certificate authorities ${folder}/none.pem (ENOENT) cannot be read here`,
    );
    expect(await said(file)).toContain(`note: ${file} holds no certificate authorities in PEM`);
    await writeFile(join(folder, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n');
    expect(await said(join(folder, 'ca.pem'))).not.toContain('ca.pem');
  });

  it('says which patterns of repositories can match nothing', async () => {
    const file = join(folder, 'patterns.yaml');
    await writeFile(
      file,
      JSON.stringify(withBuilds({ repositories: { allowed: ['^git@github\\.com:ada/', '/ada/'] } })),
    );
    const { stdout } = await run('check-config', file);
    expect(stdout).toContain('note: the pattern "^git@github\\.com:ada/" of repositories matches nothing');
    expect(stdout.match(/note: the pattern/g)).toHaveLength(1);
  });

  it('fails with everything that is wrong', async () => {
    const file = join(folder, 'wrong.yaml');
    await writeFile(file, 'baseUrl: nowhere\nsurprise: 1\n');
    const { exitCode, stdout, stderr } = await run('check-config', file);
    expect(exitCode).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain('baseUrl (line 1): expected an http or https URL');
    expect(stderr).toContain('surprise (line 2): unknown key');
  });

  it('fails when there is no such file', async () => {
    const { exitCode, stderr } = await run('check-config', join(folder, 'none.yaml'));
    expect(exitCode).toBe(1);
    expect(stderr).toContain('cannot be read');
  });
});

describe('render', () => {
  it('prints the objects of a lab without any configuration', async () => {
    const objects = await renderedBy('--user', 'ada');
    expect(objects.map(({ kind }) => kind)).toEqual([
      'Namespace',
      'ServiceAccount',
      'Secret',
      'Secret',
      'ConfigMap',
      'LimitRange',
      'NetworkPolicy',
      'Service',
      'Pod',
    ]);
    expect(objects[0]?.metadata.name).toBe('lab-ada');
  });

  it('takes what is asked for', async () => {
    const config = `${EXAMPLES}full.yaml`;
    const image = 'registry.example.org/labs/other:1';
    const options = ['--server', 'gpu', '--size', 'gpu', '--image', image, '--group', 'analysts:5001', '--uid', '7'];
    const objects = await renderedBy('--config', config, '--user', 'Ada', ...options);
    expect(objects[0]?.metadata.name).toMatch(/^userlabs-ada--gpu---/);
    expect(objects.at(-1)?.spec?.containers?.[0]?.image).toBe(image);
    expect(objects.find(({ kind }) => kind === 'ResourceQuota')?.spec?.hard).toEqual({
      'limits.cpu': '9',
      'limits.memory': '27Gi',
    });
    expect(objects.find(({ kind }) => kind === 'ConfigMap')?.data?.passwd).toContain('\nAda:x:7:1000:');
  });

  it('knows the users of the configuration', async () => {
    const objects = await renderedBy('--config', `${EXAMPLES}full.yaml`, '--user', 'grace');
    const files = objects.find(({ kind }) => kind === 'ConfigMap');
    expect(files?.data?.passwd).toContain('grace:x:4002:4002:Grace Hopper:/home/g/grace/lab:/bin/bash');
  });

  it('shows a placeholder for every secret', async () => {
    const objects = await renderedBy('--config', `${EXAMPLES}full.yaml`, '--user', 'ada');
    const secret = objects.find(({ metadata }) => metadata.name === 'lab-secrets');
    const values = Object.values(secret?.data ?? {}).map((value) => Buffer.from(value, 'base64').toString());
    expect(values).toEqual(['placeholder', 'placeholder', 'placeholder']);
  });

  describe('with profiles', () => {
    const file = () => join(folder, 'render-profiles.yaml');
    beforeAll(async () => {
      const sizes = [
        { name: 'small', cpu: 1, memory: '1Gi', lab: { env: { SIZE: 'small' } } },
        { name: 'large', cpu: 4, memory: '8Gi', lab: { env: { SIZE: 'large' } } },
      ];
      const machine = {
        choices: [
          { name: 'large', size: 'large' },
          { name: 'own', cpu: 3, memory: '3Gi' },
        ],
      };
      const image = {
        writeIn: { image: '{value}', pattern: 'example[.]org/[a-z:0-9]+', message: 'An image of ours.' },
      };
      const profiles = [
        { name: 'plain', default: true, image: 'example.org/plain:1' },
        { name: 'research', options: { machine, image } },
        { name: 'open' },
      ];
      await writeFile(file(), JSON.stringify({ ...withBuilds({}), lab: { sizes, profiles } }));
    });
    const of = (...args: string[]) => ['--config', file(), '--user', 'ada', ...args];
    const seen = async (...args: string[]) => {
      const objects = await renderedBy(...of(...args));
      const pod = objects.at(-1)?.spec?.containers?.[0] as V1Container | undefined;
      const env = objects.find(({ metadata }) => metadata.name === 'lab-env')?.data ?? {};
      const size = Buffer.from(env['SIZE'] ?? '', 'base64').toString();
      return [pod?.image, pod?.resources?.limits?.['cpu'], size];
    };

    it('takes the one that is chosen beforehand, or the one that is asked for, with its options', async () => {
      expect(await seen()).toEqual(['example.org/plain:1', '1', 'small']);
      const image = ['--profile', 'research', '--option', 'image=example.org/mine:2'];
      expect(await seen(...image)).toEqual(['example.org/mine:2', '4', 'large']);
      expect(await seen(...image, '--option', 'machine=own')).toEqual(['example.org/mine:2', '3', '']);
      expect(await seen('--profile', 'open', '--size', 'large')).toEqual(['registry.example/lab:1', '4', 'large']);
      expect(await seen('--image', 'example.org/other:3')).toEqual(['example.org/other:3', '1', 'small']);
    });

    it.each([
      [['--profile', 'none'], '--profile: expected one of plain, research, open'],
      [['--profile', 'research'], '--option: nothing is chosen beforehand for image: expected --option image=TEXT'],
      [['--profile', 'research', '--option', 'image=elsewhere/a:1'], '--option: image: An image of ours.'],
      [
        ['--profile', 'research', '--option', 'disk=1'],
        '--option: the profile research has no disk; expected machine, image',
      ],
      [['--profile', 'research', '--option', 'machine=huge'], '--option: machine: expected one of large, own'],
      [['--profile', 'research', '--size', 'small'], '--size: expected none: the profile research says it'],
      [['--profile', 'plain', '--image', 'a/b:1'], '--image: expected none: the profile plain says it'],
    ])('refuses %j', async (args, message) => {
      const { exitCode, stderr } = await run('render', ...of(...args));
      expect([exitCode, stderr]).toEqual([2, `${message}\n`]);
    });
  });

  it('refuses profiles where there are none', async () => {
    const { stderr } = await run('render', '--user', 'ada', '--profile', 'a');
    expect(stderr).toBe('--profile, --option: expected none, since there are no profiles\n');
  });

  it('refuses a size that is not there', async () => {
    const { exitCode, stderr } = await run('render', '--user', 'ada', '--size', 'huge');
    expect(exitCode).toBe(2);
    expect(stderr).toBe('--size: expected one of small, medium, large\n');
  });
});

describe('help', () => {
  it('is printed where it is asked for, and with what was wrong where it was not', async () => {
    const { stdout } = await run('help');
    expect(stdout).toMatch(/^Usage: labwright/);
    const { exitCode, stderr } = explainUsage('unknown command "sevre"');
    expect(exitCode).toBe(2);
    expect(stderr).toBe(`labwright: unknown command "sevre"\n\n${stdout}`);
  });

  it('has the version', async () => {
    expect((await run('version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('render-build', () => {
  const full = `${EXAMPLES}full.yaml`;

  it('prints what all builds stand on, and then the Job of this one with its Secret', async () => {
    const { exitCode, stdout, stderr } = await run('render-build', '--config', full, '--repository', 'ada/notebooks');
    expect([exitCode, stderr]).toEqual([0, '']);
    const objects = parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
    expect(objects.map(({ kind }) => kind)).toEqual(['Namespace', 'ServiceAccount', 'NetworkPolicy', 'Job', 'Secret']);
    const [job, secret] = objects.slice(-2);
    expect(job?.metadata.name).toMatch(/^build-[0-9a-f]{40}$/);
    expect(secret?.metadata.name).toBe(job?.metadata.name);
  });

  it('says what is wrong with a repository, and where nothing is built', async () => {
    const wrong = await run('render-build', '--config', full, '--repository', 'https://ada:secret@git.example/x');
    expect(wrong).toMatchObject({ exitCode: 2, stdout: '' });
    expect(wrong.stderr).not.toContain('secret');
    const none = await run('render-build', '--config', `${EXAMPLES}minimal.yaml`, '--repository', 'ada/notebooks');
    expect(none).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('no builds are configured') as string });
    expect(() => parseArguments(['render-build', '--config', full])).toThrow('--repository');
  });
});
