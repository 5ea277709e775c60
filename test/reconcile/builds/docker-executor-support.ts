import { createHash, randomUUID } from 'node:crypto';
import pino from 'pino';
import { builds } from '../../../src/config/builds/index.ts';
import type { BackendConfig, BuildsConfig } from '../../../src/config/config.ts';
import type { BuildSpec } from '../../../src/domain/build/build.ts';
import {
  DockerExecutor,
  type DockerExecutorOptions,
} from '../../../src/reconcile/builds/executors/docker/docker-executor.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { BuildSecrets } from '../../../src/reconcile/builds/executors/executor.ts';

export const NO_SECRETS: BuildSecrets = { dockerConfig: null, git: {} };

export interface Settings {
  readonly image?: string;
  readonly backend?: BackendConfig | { readonly kind: 'buildah' };
  readonly memory?: string;
  readonly total?: string;
  readonly imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
}

export function buildsConfig(settings: Settings = {}): BuildsConfig {
  const {
    image = 'registry.example.org/builder:1',
    backend,
    memory = '256Mi',
    total = '10m',
    imagePullPolicy,
  } = settings;
  return builds.parse({
    registry: { host: 'registry.example.org' },
    builder: { image, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) },
    pod: { memory, cpu: 1 },
    deadlines: { total },
    ...(backend === undefined ? {} : { backend }),
  });
}

/** A build of a repository of this name. */
export function buildSpec(name: string, createdAt = 1_760_000_000_000): BuildSpec {
  const key = createHash('sha256').update(randomUUID()).digest('hex');
  return {
    id: key.slice(0, 40),
    key,
    repository: {
      provider: 'git',
      url: `https://git.example.org/tests/${name}`,
      ref: 'HEAD',
      commit: '0'.repeat(40),
      binderSlug: name,
    },
    path: '',
    image: `registry.example.org/${name}:1`,
    requestedBy: 'ada',
    detached: false,
    createdAt,
  };
}

export interface RunningExecutor {
  readonly executor: DockerExecutor;
  /** Resolves when it has stopped. */
  end(): Promise<void>;
  readonly changes: string[];
  readonly logged: string[];
}

/** An executor that runs until `end`. */
export function startExecutor(
  options: Pick<DockerExecutorOptions, 'address' | 'config'> & Partial<DockerExecutorOptions>,
): RunningExecutor {
  const changes: string[] = [];
  const logged: string[] = [];
  const executor = new DockerExecutor({
    name: 'engine',
    installation: { read: () => Promise.resolve('labwright-test'), lastError: undefined },
    logger: pino({}, { write: (line: string) => void logged.push(line) }),
    onChange: (id) => void changes.push(id),
    delays: { firstRetryMs: 20, longestRetryMs: 100 },
    ...options,
  });
  const stop = new AbortController();
  const running = executor.run(stop.signal);
  const end = async () => {
    stop.abort(new Error('the test is over'));
    await running;
  };
  return { executor, end, changes, logged };
}

/**
 * Starts a build and waits until its container is seen, or the start has failed.
 *
 * @throws what the start failed with
 */
export async function startAndWait(
  executor: DockerExecutor,
  spec: BuildSpec,
  secrets: BuildSecrets = NO_SECRETS,
): Promise<void> {
  await executor.start(spec, secrets);
  await waitFor('the start has come to an end', 10_000, () =>
    executor.observe(spec.id)?.stage === 'preparing' ? undefined : true,
  );
  // Throws what it has failed with.
  await executor.start(spec, secrets);
}
