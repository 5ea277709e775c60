import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps } from '../../../src/storage/kubernetes/resources.ts';
import { runContext } from '../../../src/util/run-context.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';

let cluster: TestCluster;
let client: KubeClient;

beforeAll(async () => {
  cluster = await startCluster();
  client = new KubeClient({ connection: cluster.connection() });
});
afterAll(() => cluster.close());

/** Does something in a run that may write so many times that it is asked. */
function inRun<T>(answers: number, work: () => Promise<T>): Promise<T> {
  let asked = 0;
  const mayWrite = () => (asked += 1) <= answers;
  return runContext.run({ id: 'run', signal: new AbortController().signal, mayWrite }, work);
}

const named = (prefix: string) => ({ namespace: 'default', name: cluster.uniqueName(prefix) });
const writes = () => cluster.requests.all.filter(({ method }) => method !== 'GET').length;

describe('a write of a run', () => {
  it('is sent while the run may write', async () => {
    const ref = named('written');
    await inRun(Infinity, () => client.create(ConfigMaps, { metadata: ref }));
    await inRun(Infinity, () => client.patch(ConfigMaps, ref, { data: { a: 'b' } }));
    expect(await client.get(ConfigMaps, ref)).toMatchObject({ data: { a: 'b' } });
    expect(await inRun(Infinity, () => client.delete(ConfigMaps, ref))).toBe('gone');
  });

  it.each([
    ['before it waits for its turn', 0],
    ['after it has begun, before it is written to a connection', 1],
  ])('does not leave when the lease expires %s', async (_when, answers) => {
    const ref = named('fenced');
    const before = writes();
    await expect(inRun(answers, () => client.create(ConfigMaps, { metadata: ref }))).rejects.toThrow('does not lead');
    await expect(inRun(answers, () => client.patch(ConfigMaps, ref, {}))).rejects.toThrow('does not lead');
    await expect(inRun(answers, () => client.delete(ConfigMaps, ref))).rejects.toThrow('does not lead');
    expect(writes()).toBe(before);
  });

  it('that is refused leaves reads and other runs alone', async () => {
    const ref = named('others');
    await client.create(ConfigMaps, { metadata: ref });
    expect(await inRun(0, () => client.get(ConfigMaps, ref))).toMatchObject({ metadata: ref });
    await expect(inRun(1, () => client.patch(ConfigMaps, ref, {}))).rejects.toThrow('does not lead');
    await inRun(Infinity, () => client.delete(ConfigMaps, ref));
    expect(await client.get(ConfigMaps, ref)).toBeUndefined();
  });
});
