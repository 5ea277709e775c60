import { isRecord } from '../../util/is-record.ts';
import { importCpu, importMemory } from './amounts.ts';
import { compact } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';

const NOWHERE = 'registry.example.org';
const BUILDER_IMAGE = `${NOWHERE}/labwright-builder:0.1.0`;
const CREDENTIALS = 'registry-push';
const NO_DAEMON = 'no daemon is needed: images are built in the pod of the build (other ways are in docs/builds.md)';
const MADE_SECRET = `make a Secret ${CREDENTIALS} with a docker config.json in the namespace of Labwright: it is not copied from here`;

/** Where a value can be: BinderHub's own traits have moved from one class to another. */
type Places = readonly (readonly [section: string, trait: string])[];
const of = (trait: string, own = trait): Places => [
  ['BinderHub', trait],
  ['KubernetesBuildExecutor', own],
  ['BuildExecutor', own],
];

/** How images are made: `config` of BinderHub, and what its charts have beside. */
export function importBuilds(service: Source): Table {
  const config = service.within('config');
  const take = (places: Places, to: string, why?: string): Json => {
    const found = places.flatMap(([section, trait]) => config.at(section, trait) ?? []);
    for (const each of found) {
      if (why === undefined) each.mapped(to);
      else each.remarked(to, why);
    }
    return found.at(-1)?.value;
  };
  take(of('build_image'), 'builds.builder.image', 'repo2docker is in the builder image of Labwright: deploy/builder');
  take(
    of('build_namespace', 'namespace'),
    'builds',
    'builds have a namespace of their own, which Labwright makes (builds.namespace)',
  );
  take(of('build_docker_host', 'docker_host'), 'builds.backend', NO_DAEMON);
  take(of('builder_info'), 'builds', 'what builds is part of the name of each image');
  explainDaemons(service);
  const registry = importRegistry(service, config, take(of('image_prefix'), 'builds.naming.prefix'));
  const limit = take(of('concurrent_build_limit'), 'builds.queue.running');
  const age = take(
    [
      ['BinderHub', 'build_max_age'],
      ['KubernetesCleaner', 'max_age'],
    ],
    'builds.deadlines.total',
  );
  const isSticky = take(of('sticky_builds'), 'builds.pod.placement') === true;
  const policy = service.at('networkPolicy', 'enabled');
  policy?.mapped('builds.networkPolicy.enabled');
  config
    .at('KubernetesCleaner')
    ?.remarked(undefined, 'what has ended is cleaned up without a setting (builds.retention)');
  return {
    ...registry,
    builder: compact({
      image: BUILDER_IMAGE,
      imagePullSecrets: take(
        of('image_pull_secrets'),
        'builds.builder.imagePullSecrets',
        'put them into the namespace of builds',
      ),
      appendix: take(of('appendix'), 'builds.builder.appendix'),
      extraArgs: take(of('repo2docker_extra_args'), 'builds.builder.extraArgs'),
    }),
    pod: compact({
      ...importAmounts(config, take),
      env: textsOf(take(of('extra_envs'), 'builds.pod.env')),
      nodeSelector: take(of('build_node_selector', 'node_selector'), 'builds.pod.nodeSelector'),
      placement: isSticky ? 'sticky' : undefined,
    }),
    ...(policy?.value === false ? { networkPolicy: { enabled: false } } : {}),
    queue: compact({ running: Number(limit) > 0 ? Number(limit) : undefined }),
    deadlines: compact({ total: Number(age) > 0 ? Number(age) : undefined, queued: undefined }),
  };
}

/** Numbers and the like as the text that a variable has. */
function textsOf(table: Json): Json {
  if (!isRecord(table)) return table;
  return Object.fromEntries(
    Object.entries(table).map(([key, value]) => [key, isRecord(value) ? value : String(value)]),
  );
}

type Take = (places: Places, to: string, why?: string) => Json;

function importAmounts(config: Source, take: Take): Table {
  const resources = config.at('KubernetesBuildExecutor', 'resources');
  const amount = (...keys: string[]) => resources?.at(...keys)?.value;
  resources?.mapped('builds.pod');
  const [limit, request] = [
    take(of('build_memory_limit', 'memory_limit'), 'builds.pod.memory'),
    take(of('build_memory_request', 'memory_request'), 'builds.pod.memoryRequest'),
  ].map((value) => (value === 0 || value === '0' ? undefined : importMemory(value)));
  return {
    cpu: importCpu(amount('limits', 'cpu')),
    memory: amount('limits', 'memory') ?? limit,
    cpuRequest: importCpu(amount('requests', 'cpu')),
    memoryRequest: amount('requests', 'memory') ?? request,
  };
}

/** Where images go. What names a password is never repeated. */
function importRegistry(service: Source, config: Source, prefix: Json): Table {
  const [host, name] = splitPrefix(typeof prefix === 'string' ? prefix : '');
  const registries = [
    service.at('registry'),
    service.at('buildPodsRegistryCredentials'),
    service.at('buildPodsDockerConfig'),
    ...['DockerRegistry', 'GoogleArtifactRegistry', 'ExternalRegistryHelper'].map((kind) => config.at(kind)),
    config.at('BinderHub', 'push_secret'),
    config.at('KubernetesBuildExecutor', 'push_secret'),
    config.at('KubernetesBuildExecutor', 'registry_credentials'),
    config.at('BinderHub', 'registry_class'),
    config.at('BinderHub', 'build_docker_config'),
  ];
  for (const each of registries) if (isSet(each?.value)) each?.remarked('builds.registry', MADE_SECRET);
  const use = config.at('BinderHub', 'use_registry');
  if (use?.value === false) {
    use.remarked(
      'builds.registry',
      'labs run on any machine: images have to be in a registry, and this one is none yet',
    );
  } else use?.mapped('builds.registry');
  const server = [service.at('buildPodsRegistryCredentials', 'server'), service.at('registry', 'url')]
    .find(Boolean)
    ?.text();
  return {
    registry: { host: host ?? hostOf(server) ?? NOWHERE, credentials: CREDENTIALS },
    naming: compact({ scheme: 'binderhub', prefix: name }),
  };
}

function isSet(value: Json): boolean {
  return isRecord(value) ? Object.keys(value).length > 0 : value !== undefined && value !== '';
}

/** `registry.example.org/labs/r2d-`: without a host it is of Docker Hub. */
function splitPrefix(prefix: string): [host: string | undefined, name: string] {
  const [first = '', ...rest] = prefix.split('/');
  if (rest.length === 0) return [prefix === '' ? undefined : 'docker.io', prefix];
  return /[.:]|^localhost$/.test(first) ? [hostOf(first), rest.join('/')] : ['docker.io', prefix];
}

function hostOf(url: string | undefined): string | undefined {
  const [, host] = /^(?:https?:\/\/)?([^/\s]+)/.exec(url ?? '') ?? [];
  return host !== undefined && /(?:^|\.)docker\.(?:io|com)$/.test(host) ? 'docker.io' : host;
}

function explainDaemons(service: Source): void {
  for (const key of ['dockerApi', 'dind', 'pink', 'imageBuilderType']) {
    service.at(key)?.remarked('builds.backend', NO_DAEMON);
  }
  service.at('imageCleaner')?.remarked(undefined, 'nothing of a build is left on machines');
}
