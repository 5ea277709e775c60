import { pino } from 'pino';
import type { BuildPartsOptions, ExecutorSetup } from '../../../src/app/build-parts.ts';
import { Installation } from '../../../src/reconcile/builds/executors/installation.ts';
import { DockerExecutor } from '../../../src/reconcile/builds/executors/docker/docker-executor.ts';
import type { BuildExecutor } from '../../../src/reconcile/builds/executors/executor.ts';
import { LocalExecutor } from '../../../src/reconcile/builds/executors/kubernetes/local-executor.ts';
import { RemoteClusterExecutor } from '../../../src/reconcile/builds/executors/kubernetes/remote-cluster-executor.ts';
import type { BuildScript, Kubelet } from '../../../sandbox/index.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Jobs, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { admitNoPods } from '../support/admit-no-pods.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import type { BuildSetting } from './setting.ts';

type Make = (setting: BuildSetting, setup: ExecutorSetup) => BuildExecutor;

/** The executors of a setting, in the order in which they are tried. */
export function executorsOf(...makers: Make[]): (setting: BuildSetting) => BuildPartsOptions['makeExecutors'] {
  return (setting) => (setup) => makers.map((make) => make(setting, setup));
}

/** The cluster in which the intents are. */
export function home(capacity = Infinity): Make {
  return (setting, { cache, builder }) => {
    const { namespace, controllerNamespace: controller, cluster } = setting;
    const client = new KubeClient({ connection: cluster.connection(), timeoutMs: 10_000 });
    return new LocalExecutor({
      ...{
        name: 'home',
        capacity,
        cache,
        builder,
        scope: { client, controller, namespace, logger: loggerOf(setting) },
      },
    });
  };
}

/** A Docker-compatible engine. */
export function engine(address: string, capacity = Infinity): Make {
  return (setting, { onChange, onReady }) => {
    const { config } = setting;
    const backend = { kind: 'socket' as const, path: '/run/engine.sock' };
    const delays = { firstRetryMs: 20, longestRetryMs: 100 };
    const shared = { name: 'engine', capacity, address, config, backend, delays, onChange, onReady };
    return new DockerExecutor({ ...shared, installation: installationOf(setting), logger: loggerOf(setting) });
  };
}

/** Another cluster, which can be cut off. */
export class OtherCluster {
  readonly cluster: TestCluster;
  readonly namespace: string;
  kubelet: Kubelet | undefined;

  private constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.namespace = cluster.uniqueName('other');
  }

  static async start(script: (repository: string) => BuildScript | undefined): Promise<OtherCluster> {
    const other = new OtherCluster(await startCluster());
    other.kubelet = await other.cluster.startKubelet({
      namespacePrefix: other.namespace,
      builds: (pod) => script(pod.spec?.containers[0]?.args?.at(-1) ?? ''),
    });
    return other;
  }

  executor(capacity = Infinity, sweepMs?: number, connection = this.cluster.connection()): Make {
    return (setting, { onChange, onReady }) => {
      const client = new KubeClient({ connection, timeoutMs: 10_000 });
      const scope = { client, namespace: this.namespace, config: setting.config, logger: loggerOf(setting) };
      const shared = { name: 'other', capacity, scope, installation: installationOf(setting), onChange, onReady };
      return new RemoteClusterExecutor({ ...shared, ...(sweepMs === undefined ? {} : { sweepMs }) });
    };
  }

  /** Its API server answers nobody any more. */
  cutOff(): void {
    this.cluster.proxy.onCall = () => 'reset-before';
    this.cluster.proxy.reset();
  }

  comeBack(): void {
    this.cluster.proxy.onCall = () => 'pass';
  }

  /** Its administrator lets nobody else change the namespace, and has it refuse all pods. */
  async admitNoPods(): Promise<void> {
    this.cluster.proxy.onCall = (_, { verb, resource }) =>
      verb === 'patch' && resource === 'namespaces' ? { status: 403, reason: 'Forbidden' } : 'pass';
    await admitNoPods(this.cluster.client, this.namespace);
  }

  async jobs() {
    return (await this.cluster.client.list(Jobs, { namespace: this.namespace })).items;
  }

  async pods() {
    return (await this.cluster.client.list(Pods, { namespace: this.namespace })).items;
  }

  async secrets() {
    return (await this.cluster.client.list(Secrets, { namespace: this.namespace })).items;
  }

  async isEmpty(): Promise<boolean> {
    const left = await Promise.all([this.jobs(), this.pods(), this.secrets()]);
    return left.every((items) => items.length === 0);
  }

  async close(): Promise<void> {
    this.comeBack();
    await this.cluster.close();
  }
}

function installationOf(setting: BuildSetting): Installation {
  const { controllerNamespace: controller, namespace, cluster } = setting;
  const client = new KubeClient({ connection: cluster.connection(), timeoutMs: 10_000 });
  return new Installation({ client, controller, namespace, logger: loggerOf(setting), firstRetryMs: 20 });
}

function loggerOf({ log }: BuildSetting) {
  return pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
}
