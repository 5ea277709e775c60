import { type Delays, startKubelet } from '../sandbox/index.ts';
import { tokenConnection } from '../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { BAD_IMAGE } from './images.ts';

export interface KubeletMessage {
  readonly server: string;
  readonly token: string;
  readonly ca: string;
  /** How long pods take; nothing at all unless told. */
  readonly delays?: Delays;
  /** Running pods answer HTTP as a lab does, each on an address of this machine. */
  readonly serve?: boolean;
}

/**
 * The instant test kubelet as a process of its own, so that its work is not counted as the controller's or the
 * driver's. Its first message says where the API server is; it runs until it is killed or its parent goes.
 */
process.once('message', (message: KubeletMessage) => {
  const client = new KubeClient({ connection: tokenConnection(message), requestsPerSecond: 5_000, burst: 5_000 });
  const { delays, serve } = message;
  startKubelet({
    client,
    ...(delays === undefined ? {} : { delays }),
    ...(serve === undefined ? {} : { serve }),
    faults: [{ fault: 'imagePull', match: { image: BAD_IMAGE } }],
  }).then(
    () => process.send?.('ready'),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));
