import { startKubelet } from '../src/sandbox/index.ts';
import { tokenConnection } from '../src/storage/connection.ts';
import { KubeClient } from '../src/storage/kube-client.ts';
import { parseFaults } from '../src/sandbox/index.ts';
import { BAD_IMAGE } from './setting.ts';

/**
 * The instant test kubelet as a process of its own, so that its work is not counted as the controller's or the
 * driver's. It is told where the API server is by its first message and runs until it is killed.
 */
process.once('message', (message: { server: string; token: string; ca: string }) => {
  const client = new KubeClient({ connection: tokenConnection(message), requestsPerSecond: 5_000, burst: 5_000 });
  const faults = parseFaults(`- match: { image: "${BAD_IMAGE}" }\n  fault: imagePull\n`);
  startKubelet({ client, delays: 'instant', faults, serve: false }).then(
    () => process.send?.('ready'),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
