import { BuildPodBuilder, type BuildNamespaceObjects } from '../../../src/builder/build/build-pod-builder.ts';
import type { KubernetesObject, V1Job, V1Secret } from '@kubernetes/client-node';
import { parseConfig, type BuildsConfig } from '../../../src/config/index.ts';
import type { BuildSpec } from '../../../src/domain/build/build.ts';
import { exampleConfig } from '../cases.ts';

/** A configuration with these builds, given as YAML of its keys; registry and builder image are there unless said. */
export function buildsConfig(builds = ''): BuildsConfig {
  const required = [
    /^registry:/m.test(builds) ? '' : 'registry: { host: registry.example.org }',
    /^builder:/m.test(builds) ? '' : 'builder: { image: "registry.example.org/labwright-builder:1" }',
  ];
  const text = [...required, builds.trim()].filter((part) => part !== '').join('\n');
  const config = parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab: { sizes: [{ name: small, cpu: 1, memory: 3Gi }] }
builds:
${text.replaceAll(/^/gm, '  ')}
`);
  return config.builds!;
}

export function aBuildSpec(changes: Partial<BuildSpec> = {}): BuildSpec {
  const key = '5c6f2d1e0b9a8877665544332211ffeeddccbbaa99887766554433221100abcd';
  return {
    id: key.slice(0, 40),
    key,
    repository: {
      provider: 'gh',
      url: 'https://github.com/ada/notebooks',
      ref: 'main',
      commit: '0123456789abcdef0123456789abcdef01234567',
      binderSlug: 'ada-2dnotebooks',
    },
    path: '',
    image: `registry.example.org/ada-notebooks:0123456789ab-${key.slice(0, 12)}`,
    requestedBy: 'ada',
    detached: false,
    createdAt: 1_795_000_000_000,
    ...changes,
  };
}

export interface BuildObjects {
  readonly ground: BuildNamespaceObjects;
  readonly secret: V1Secret;
  readonly job: V1Job;
}

export interface BuildChanges {
  readonly spec?: Partial<BuildSpec>;
  readonly suspend?: boolean;
  readonly node?: string;
  readonly dockerConfig?: string | null;
  readonly git?: Readonly<Record<string, string>>;
  readonly authorities?: string | null;
}

export function buildObjects(config: BuildsConfig, changes: BuildChanges = {}): BuildObjects {
  const builder = new BuildPodBuilder(config, { controller: 'labwright', namespace: 'labwright-builds' });
  const spec = aBuildSpec(changes.spec);
  const { suspend = true, node, dockerConfig = null, git = {}, authorities = null } = changes;
  return {
    ground: builder.buildNamespaceObjects(),
    secret: builder.buildSecret(
      spec,
      { dockerConfig, git, authorities },
      { uid: '0b54d1f4-6a3c-4a55-9d1e-6f1f6b0f2a11' },
    ),
    job: builder.buildJob(spec, { suspend, interestExpiresAt: 1_795_000_300_000, node }),
  };
}

/** Every build that has a golden file, by the name of the file. */
export async function goldenBuilds(): Promise<Record<string, BuildObjects>> {
  const plain = buildsConfig();
  const { builds } = await exampleConfig('full');
  return {
    default: buildObjects(plain),
    everything: buildObjects(builds!, {
      spec: { path: 'courses/intro', requestedBy: 'Ada Lovelace' },
      node: 'node-3',
      suspend: false,
      dockerConfig: '{"auths":{"registry.example.org":{"auth":"cGxhY2Vob2xkZXI="}}}',
      git: { gitconfig: '[credential "https://git.example.org"]\n', 'git-credentials': 'https://git.example.org\n' },
    }),
    'buildkit-remote': buildObjects(
      buildsConfig(`
backend: { kind: buildkit, address: "tcp://buildkitd.buildkit:1234", tls: buildkit-client, cacheRepository: registry.example.org/cache }
`),
    ),
    'buildkit-sidecar': buildObjects(buildsConfig('backend: { kind: buildkit }')),
    'buildah-unconfined': buildObjects(buildsConfig('backend: { kind: buildah, unconfined: true }')),
    socket: buildObjects(buildsConfig('backend: { kind: socket, path: /run/podman/podman.sock }')),
    subdirectory: buildObjects(plain, { spec: { path: 'courses/--intro $(HOME) $$(X)' } }),
    sticky: buildObjects(buildsConfig('pod: { placement: sticky }'), { node: 'ip-10-0-0-7.example.org' }),
    'sticky-nowhere': buildObjects(buildsConfig('pod: { placement: sticky }')),
    kueue: buildObjects(buildsConfig('queue: { kueue: { queueName: image-builds } }')),
    'git-credentials': buildObjects(plain, {
      dockerConfig: '{"auths":{}}',
      git: {
        gitconfig: '[credential "https://git.example.org"]\n\thelper = store\n',
        'git-credentials': 'https://ada:placeholder@git.example.org\n',
        'ssh-privatekey': 'a placeholder for a key\n',
        known_hosts: 'git.example.org ssh-ed25519 AAAA\n',
      },
    }),
    doi: buildObjects(plain, {
      spec: {
        repository: {
          provider: 'zenodo',
          url: '10.5281/zenodo.3242074',
          ref: 'HEAD',
          commit: '3242074',
          binderSlug: 'zenodo-10-2e5281-2fzenodo-2e3242074',
        },
      },
    }),
  };
}

/** All objects of a build, in the order in which they are made. */
export function listBuildObjects({ ground, secret, job }: BuildObjects): KubernetesObject[] {
  const { namespace, serviceAccount, networkPolicy } = ground;
  return [namespace, serviceAccount, networkPolicy, job, secret].filter((object) => object !== undefined);
}
