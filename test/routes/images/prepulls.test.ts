import { describe, expect, it } from 'vitest';
import type { PrepullView, Warmth } from '../../../src/domain/image/prepull/view.ts';
import type { WantedImage } from '../../../src/domain/image/wanted-image.ts';
import { testApp } from '../support.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const other = `sha256:${'cd'.repeat(32)}`;
const image = (tag: string, of: string): WantedImage => ({
  reference: `quay.io/jupyter/lab:${tag}@${of}`,
  ...{ digest: of, name: `Lab ${tag}`, size: 1_000, architectures: null },
});
const warmth = new Map<string, Warmth>([
  [digest, { nodes: ['node-1'], missing: [], pullMs: 12_500 }],
  [other, { nodes: [], missing: ['node-1'], failure: { reason: 'ErrImagePull', message: 'not found' } }],
]);
const view: PrepullView = {
  isKnown: true,
  wanted: () => [image('2', digest), image('1', other)],
  of: (of) => warmth.get(of),
  nodes: () => [
    {
      ...{ name: 'node-1', eligible: true, comment: null, cached: [digest], pulling: [other] },
      failures: [{ digest: other, reason: 'ErrImagePull', message: 'not found', count: 2, at: 0, nextAt: 60_000 }],
    },
    {
      ...{ name: 'node-2', eligible: false, comment: 'Node is tainted (NoSchedule, gpu = yes)', cached: [] },
      ...{ pulling: [], failures: [] },
    },
  ],
};

describe('GET …/spawner/v1/prepulls', () => {
  it('answers as Nublado does: a failed image is pending', async () => {
    const app = testApp({ prepull: view });
    const answer = await app.call('/labwright/spawner/v1/prepulls', { as: 'admin' });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      config: {
        source: { type: 'docker', registry: 'quay.io', repository: 'jupyter/minimal-notebook' },
        ...{ refresh_interval: 300, prepull_timeout: 0, recommended_tag: 'recommended' },
        ...{ num_releases: 0, num_weeklies: 0, num_dailies: 0, cycle: null, pin: [], alias_tags: [] },
      },
      images: {
        prepulled: [
          {
            ...{ reference: 'quay.io/jupyter/lab:2', tag: '2', name: 'Lab 2', digest, size: 1_000 },
            ...{ nodes: ['node-1'], missing: [] },
          },
        ],
        pending: [
          {
            ...{ reference: 'quay.io/jupyter/lab:1', tag: '1', name: 'Lab 1', digest: other, size: 1_000 },
            ...{ nodes: [], missing: ['node-1'] },
          },
        ],
      },
      nodes: [
        { name: 'node-1', eligible: true, comment: null, cached: ['quay.io/jupyter/lab:2'] },
        { name: 'node-2', eligible: false, comment: 'Node is tainted (NoSchedule, gpu = yes)', cached: [] },
      ],
    });
  });

  it('takes nothing for done before the nodes are known', async () => {
    const app = testApp({ prepull: { ...view, isKnown: false } });
    const answer = await app.call('/labwright/spawner/v1/prepulls', { as: 'admin' });
    const { images } = (await answer.json()) as { images: { prepulled: unknown[]; pending: unknown[] } };
    expect([images.prepulled.length, images.pending.length]).toEqual([0, 2]);
  });

  it.each(['ada', 'hub'] as const)('is not for %s', async (caller) => {
    const app = testApp({ prepull: view });
    expect((await app.call('/labwright/spawner/v1/prepulls', { as: caller })).status).toBe(403);
    expect((await app.call('/labwright/images/v1/nodes', { as: caller })).status).toBe(403);
  });

  it('is there where nothing is pulled ahead', async () => {
    const answer = await testApp().call('/labwright/spawner/v1/prepulls', { as: 'admin' });
    expect(await answer.json()).toMatchObject({ images: { prepulled: [], pending: [] }, nodes: [] });
  });
});

describe('GET …/images/v1/nodes', () => {
  it('says what failed, how often, and when it is tried again', async () => {
    const answer = await testApp({ prepull: view }).call('/labwright/images/v1/nodes', { as: 'admin' });
    expect(await answer.json()).toMatchObject({
      ...{ enabled: true, known: true },
      images: [
        { digest, pull_seconds: 12.5 },
        { digest: other, pull_seconds: null, missing: ['node-1'] },
      ],
      nodes: [
        {
          pulling: [other],
          failures: [
            {
              ...{ digest: other, reason: 'ErrImagePull', message: 'not found', count: 2 },
              ...{ at: '1970-01-01T00:00:00.000Z', next_at: '1970-01-01T00:01:00.000Z' },
            },
          ],
        },
        { eligible: false },
      ],
    });
  });

  it('says that nothing is pulled ahead', async () => {
    const answer = await testApp().call('/labwright/images/v1/nodes', { as: 'admin' });
    expect(await answer.json()).toEqual({ enabled: false, known: false, images: [], nodes: [] });
  });
});
