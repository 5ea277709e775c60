import { pino } from 'pino';
import { Controller } from '../../../src/reconcile/controller.ts';
import { LeaseElection } from '../../../src/reconcile/leader-lease.ts';
import { Manager } from '../../../src/reconcile/manager.ts';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps } from '../../../src/storage/kubernetes/resources.ts';

export interface ElectorOptions {
  readonly server: string;
  readonly token: string;
  readonly namespace: string;
  readonly name: string;
  readonly times: {
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
  };
}

/**
 * One replica as a process of its own. While it leads it writes to a ConfigMap without end, in one run that does not look at its
 * signal: what ends its writing is that they are refused.
 */
process.once('message', (options: ElectorOptions) => {
  const { server, token, namespace, name, times } = options;
  const connection = tokenConnection({ server, token });
  const client = new KubeClient({ connection });
  const logger = pino({ level: 'info' }, { write: (line: string) => void process.send?.(JSON.parse(line) as object) });
  const election = new LeaseElection({
    client: new KubeClient({ connection }),
    namespace,
    podName: name,
    logger,
    ...times,
  });
  let count = 0;
  const controller = new Controller({
    name: 'writes',
    caches: [],
    sources: [],
    keys: () => ['key'],
    runTimeoutMs: 600_000,
    reconcile: async () => {
      for (;;) {
        count += 1;
        await client.apply(ConfigMaps, {
          metadata: { namespace, name: 'written' },
          data: { by: name, count: `${count}` },
        });
      }
    },
    logger,
  });
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  const manager = new Manager({ logger, election }).addController(controller);
  void manager.run(stop.signal).then(async () => {
    await connection.dispatcher.destroy();
    process.disconnect();
  });
});
