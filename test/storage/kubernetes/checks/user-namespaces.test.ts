import type { V1Node } from '@kubernetes/client-node';
import { afterEach, describe, expect, it } from 'vitest';
import { tokenConnection } from '../../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../../src/storage/kubernetes/kube-client.ts';
import { findUserNamespaces } from '../../../../src/storage/kubernetes/checks/user-namespaces.ts';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const able = (userNamespaces: boolean): V1Node => ({
  status: { runtimeHandlers: [{ name: '', features: { userNamespaces } }] },
});
/** As Kubernetes before 1.30 and containerd before 2.0 have it. */
const silent: V1Node = { status: {} };

interface Cluster {
  /** What the API server makes of a pod that is asked for; a number is the status it refuses it with. */
  readonly pod?: number | 'keeps' | 'drops';
  /** `'forbidden'`: they may not be listed. */
  readonly nodes?: readonly V1Node[] | 'forbidden';
}

/** An API server that has or has not user namespaces, which no API server can be told to be. */
async function find({ pod = 'keeps', nodes = [] }: Cluster): Promise<string | undefined> {
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    const refuse = (code: number) => answer(code, { kind: 'Status', status: 'Failure', code, reason: 'Forbidden' });
    request.resume();
    if (request.method === 'POST') {
      if (typeof pod === 'number') refuse(pod);
      else answer(201, { kind: 'Pod', spec: pod === 'keeps' ? { hostUsers: false } : {} });
    } else if (nodes === 'forbidden') refuse(403);
    else answer(200, { kind: 'NodeList', metadata: { resourceVersion: '1' }, items: nodes });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new KubeClient({ connection: tokenConnection({ server: url, token: 'nobody' }) });
  cleanups.push(() => client.close());
  const sentence = await findUserNamespaces(client, 'labwright-builds');
  expect(asked[0]).toMatch(/^POST \/api\/v1\/namespaces\/labwright-builds\/pods\?.*dryRun=All/);
  return sentence;
}

describe('findUserNamespaces', () => {
  it('is content where the API server keeps the field and every node can', async () => {
    expect(await find({ nodes: [able(true), able(true)] })).toBeUndefined();
  });

  it('is content where nodes may not be listed, or there are none yet', async () => {
    expect(await find({ nodes: 'forbidden' })).toBeUndefined();
    expect(await find({ nodes: [] })).toBeUndefined();
  });

  it('says so when the API server drops the field, with the choice there is', async () => {
    const sentence = await find({ pod: 'drops' });
    expect(sentence).toMatch(
      /^This cluster's API server knows no user namespaces .*buildkit.*socket.*docs\/builds\.md/,
    );
    expect(sentence).not.toContain('\n');
  });

  it('says so when no node can, or only some', async () => {
    expect(await find({ nodes: [able(false), silent] })).toMatch(/^No node can/);
    expect(await find({ nodes: [able(false), able(true)] })).toMatch(/^Only 1 of 2 nodes can .*nodeSelector/);
  });

  it('says nothing when the API server refuses the pod for another reason', async () => {
    expect(await find({ pod: 403 })).toBeUndefined();
  });
});
