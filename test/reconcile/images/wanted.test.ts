import { describe, expect, it } from 'vitest';
import { buildConfig } from '../../../src/config/index.ts';
import { ConfiguredImages } from '../../../src/reconcile/images/configured-images.ts';
import { offerImages, wantedImages } from '../../../src/reconcile/images/offered-images.ts';
import { Wanted } from '../../../src/reconcile/images/wanted.ts';

const digest = (text: string) => `sha256:${text.repeat(64)}`;
const config = buildConfig({
  baseUrl: 'https://hub.example.org',
  auth: { tokens: [{ role: 'hub', sha256: '0'.repeat(64) }] },
  images: {
    sources: [{ name: 'lab', repository: 'registry.example.org/lab', tags: { kinds: { release: { wanted: 1 } } } }],
  },
  lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
});
const tags = ['1.0.0', '2.0.0', '3.0.0', '4.0.0'];
const images = Object.fromEntries(
  tags.map((tag) => [tag, { digest: digest(tag.slice(0, 1)), size: null, architectures: null, former: [] }]),
);
const offered = offerImages(config, () => ({ origin: '', readAt: 0, tags, images, problem: null }), 0);

function wantedOf(labs: readonly string[], count: number): string[] {
  const wanted = new Wanted({ labs: () => labs.map(digest), mostUsed: () => count });
  const service = new ConfiguredImages(config);
  wanted.use(Object.assign(service, { offered: () => offered, wanted: () => wantedImages(offered) }));
  return wanted.wanted().map(({ name }) => name);
}

describe('the images that are to be on the nodes', () => {
  it.each([
    ['those that sources want', ['1', '1'], 0, ['4.0.0']],
    ['then those that most labs run', ['2', '1', '2', '3', '3', '3'], 2, ['4.0.0', '3.0.0', '2.0.0']],
    ['each once', ['4', '4', '1'], 2, ['4.0.0', '1.0.0']],
    ['only what is offered, whatever labs run', ['9', '9', '1'], 2, ['4.0.0', '1.0.0']],
  ])('are %s', (_, labs, count, names) => {
    expect(wantedOf(labs, count)).toEqual(names);
  });
});
