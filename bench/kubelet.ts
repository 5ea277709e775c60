import { startKubelet } from '../sandbox/index.ts';
import { tokenConnection } from '../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { BAD_IMAGE } from './images.ts';

/**
 * The instant test kubelet as a process of its own, so that its work is not counted as the controller's or the
 * driver's. Its first message says where the API server is; it runs until it is killed or its parent goes.
 */
process.once('message', (message: { server: string; token: string; ca: string }) => {
  const client = new KubeClient({ connection: tokenConnection(message), requestsPerSecond: 5_000, burst: 5_000 });
  startKubelet({ client, faults: [{ fault: 'imagePull', match: { image: BAD_IMAGE } }] }).then(
    () => process.send?.('ready'),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
