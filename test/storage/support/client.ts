import { onTestFinished } from 'vitest';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import type { KubeTransportOptions } from '../../../src/storage/kubernetes/kube-transport.ts';
import { ScriptedServer } from './scripted-server.ts';

export interface ScriptedOptions extends Partial<KubeTransportOptions> {
  /** Where the credentials come from; default: a fixed token. */
  readonly headers?: () => Promise<Record<string, string>>;
}

/** A scripted server and a client of it, both gone when the test ends. */
export async function startScripted({ headers, ...options }: ScriptedOptions = {}) {
  const server = await ScriptedServer.start();
  const plain = tokenConnection({ server: server.server, token: 'scripted' });
  const connection = headers === undefined ? plain : { ...plain, headers };
  const client = new KubeClient({ connection, timeoutMs: 5_000, ...options });
  onTestFinished(async () => {
    await client.close();
    await server.close();
  });
  return { server, client };
}

/** What was thrown, for a closer look. */
export async function errorOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
