import { describe, expect, it } from 'vitest';
import { KubeError } from '../../../../src/storage/kubernetes/kube-error.ts';
import { describeOutage } from '../../../../src/storage/kubernetes/checks/outage.ts';
import { Pods } from '../../../../src/storage/kubernetes/resources.ts';
import { errorOf, startScripted } from '../../support/client.ts';

const SERVER = 'https://10.96.0.1:443';
const TARGET = { verb: 'list', kind: 'Pod' };
const answered = (status: number, reason: string) =>
  new KubeError(TARGET, { status, reason, message: 'User "x" cannot list resource "pods"' });

describe('an outage in one sentence', () => {
  it.each([
    [undefined, `The Kubernetes API at ${SERVER} has not answered yet.`],
    [answered(401, 'Unauthorized'), `The Kubernetes API at ${SERVER} does not accept Labwright's credentials (401).`],
    [
      answered(403, 'Forbidden'),
      `The Kubernetes API at ${SERVER} does not let Labwright list Pod objects (403); see deploy/ for the rights it needs.`,
    ],
    [answered(500, 'InternalError'), `The Kubernetes API at ${SERVER} answers list Pod with 500 (InternalError).`],
  ])('%s', (error, sentence) => {
    expect(describeOutage(SERVER, error)).toBe(sentence);
  });

  it('names what the network said, and not what it was wrapped in', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 10.96.0.1:443'), { code: 'ECONNREFUSED' });
    const error = new KubeError(TARGET, { status: 0, reason: 'NoAnswer', message: 'x' }, { cause: refused });
    expect(describeOutage(SERVER, error)).toBe(
      `The Kubernetes API at ${SERVER} cannot be reached: ECONNREFUSED connect ECONNREFUSED 10.96.0.1:443.`,
    );
  });

  it('of a server that does not answer in time says that, and no number', async () => {
    const { server, client } = await startScripted({ timeoutMs: 50 });
    server.otherwise = () => undefined;
    const error = (await errorOf(client.list(Pods))) as Error;
    expect(describeOutage(SERVER, error)).toMatch(/cannot be reached: [^\d]*timeout\.$/);
  });
});
