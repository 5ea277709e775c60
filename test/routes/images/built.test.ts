import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { Config } from '../../../src/config/index.ts';
import type { BuiltImage } from '../../../src/domain/image/built-image.ts';
import type { ImageService } from '../../../src/reconcile/images/image-service.ts';
import { offerImages } from '../../../src/reconcile/images/offered-images.ts';
import type { ErrorBody } from '../../../src/routes/server/errors.ts';
import { aConfig, API, type Caller, fakeLabs, formRequest, testApp } from '../support.ts';

const COMMIT = '1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d';
const digest = (text: string) => `sha256:${text.repeat(64)}`;
const NAME = 'registry.example.org/labs/ada-notebooks';
const [NEW, OLD] = [`${NAME}@${digest('a')}`, `${NAME}@${digest('b')}`] as [string, string];

const built = (reference: string, builtAt: number): BuiltImage => ({
  ...{ reference, builtAt, path: '' },
  repository: { provider: 'gh', url: 'https://github.com/ada/notebooks', ref: 'main', commit: COMMIT },
});

function configWith(source: object = {}): Config {
  return aConfig({
    images: {
      sources: [
        { name: 'built', title: 'Built', builds: { repositories: ['github\\.com/ada/'], wanted: 1 }, ...source },
      ],
    },
    builds: { registry: { host: 'registry.example.org' }, builder: { image: 'registry.example.org/builder:1' } },
  });
}

function appWith(config: Config) {
  const labs = fakeLabs();
  const found = {
    ...{ origin: 'builds', readAt: 1, tags: [], images: {}, problem: null },
    built: [built(OLD, 1), built(NEW, 2)],
  };
  const offered = offerImages(config, (name) => (name === 'built' ? found : undefined), 0);
  const images: ImageService = {
    wanted: () => [],
    offered: () => offered,
    sources: () => [{ name: 'built', readAt: 1, problem: null, tags: 2 }],
    pin: (image) => Promise.resolve(image),
  };
  return { labs, app: testApp({ labs, config, images }) };
}

async function create(options: Record<string, unknown>, config = configWith(), as: Caller = 'ada') {
  const { labs, app } = appWith(config);
  const json = formRequest({ image_list: undefined, ...options });
  const response = await app.call(`${API}/labs/${as}/create`, { as, json });
  return { status: response.status, body: (await response.json()) as ErrorBody, lab: labs.created[0] };
}

describe('an image that was built here', () => {
  it.each([
    ['by its reference', { image_list: OLD }],
    ['from the menu', { image_list: 'use_image_from_dropdown', image_dropdown: OLD }],
  ])('is chosen %s, and has the settings of its source', async (_, options) => {
    const { status, lab } = await create(options);
    expect(status).toBe(201);
    expect(lab?.image).toEqual({
      ...{ reference: OLD, digest: digest('b'), origin: 'built' },
      name: 'ada/notebooks (main, 1a2b3c4)',
    });
  });

  it.each([
    ['another digest', `${NAME}@${digest('c')}`],
    ['a tag, since it is offered by none', `${NAME}:main`],
    ['a tag beside its digest', `${NAME}:main@${digest('a')}`],
    ['another repository', `registry.example.org/labs/other@${digest('a')}`],
  ])('is refused by %s', async (_, reference) => {
    const { status, body } = await create({ image_list: reference });
    expect(status).toBe(400);
    expect(body.detail[0]?.type).toBe('unknown_image');
  });

  it('is for the groups of its source', async () => {
    const config = configWith({ groups: ['astronomers'] });
    expect((await create({ image_list: NEW }, config)).status).toBe(201);
    expect((await create({ image_list: NEW }, config, 'bob')).status).toBe(403);
  });

  it('is in the form: the wanted one as a choice, the others in the menu', async () => {
    const { app } = appWith(configWith());
    const form = await (await app.call(`${API}/lab-form/ada`, { as: 'ada' })).text();
    expect(form).toContain(`<input type="radio" name="image_list" value="${NEW}" checked>`);
    expect(form).toContain('Built: ada/notebooks (main, 1a2b3c4)');
    expect(form).toMatch(new RegExp(`<select name="image_dropdown"[^>]*><option value="${OLD}">ada/notebooks`));
  });

  it('is in the list of images', async () => {
    const { app } = appWith(configWith());
    const response = await app.call(`${API}/images?detail=true`, { as: 'admin' });
    expect(await response.json()).toMatchObject({
      sources: [{ name: 'built', tags: 2 }],
      images: [
        { reference: NAME, digest: digest('a'), tag: '', source: 'built', kind: null, wanted: true },
        { reference: NAME, digest: digest('b'), wanted: false, listed: true },
      ],
    });
  });
});
