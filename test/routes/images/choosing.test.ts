import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { type Config, LISTED } from '../../../src/config/index.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { FoundImage, FoundImages } from '../../../src/domain/image/found-images.ts';
import type { ImageService } from '../../../src/reconcile/images/image-service.ts';
import { offerImages } from '../../../src/reconcile/images/offered-images.ts';
import type { ErrorBody } from '../../../src/routes/server/errors.ts';
import { aView } from './view.ts';
import { aConfig, API, type Caller, fakeLabs, formRequest, testApp } from '../support.ts';

const digest = (text: string) => `sha256:${text.repeat(64)}`;
const [NEW, OLD, OTHER, BOGUS] = ['a', 'b', 'c', 'd'].map(digest) as [string, string, string, string];
const REPOSITORY = 'registry.example.org/science/lab';

const found = (of: string, former: readonly string[] = []): FoundImage => ({
  ...{ digest: of, size: 3 * 2 ** 30, architectures: ['amd64'], former },
});
const SCIENCE: FoundImages = {
  origin: REPOSITORY,
  readAt: Date.UTC(2026, 10, 30),
  tags: ['w_2026_46', 'w_2026_47', 'w_2026_48', 'recommended', 'exp_try'],
  images: { w_2026_48: found(NEW), w_2026_47: found(OTHER, [OLD]), recommended: found(OTHER) },
  problem: null,
};

function catalogue(images: object = {}) {
  return aConfig({
    images: {
      sources: [
        {
          name: 'science',
          title: 'Science',
          repository: REPOSITORY,
          tags: {
            grammar: 'rubin',
            recommended: 'recommended',
            kinds: { weekly: { wanted: 2, listed: 2 }, experimental: { wanted: 0, listed: 0 } },
          },
        },
      ],
      ...images,
    },
  });
}

/** Images as they are known, and digests of others by reference. */
function serviceOf(config: Config, others: Record<string, string> = {}): ImageService {
  const offered = offerImages(config, (name) => (name === 'science' ? SCIENCE : undefined), Date.UTC(2026, 10, 30));
  return {
    offered: () => offered,
    wanted: () => [],
    sources: () => [{ name: 'science', readAt: SCIENCE.readAt, problem: null, tags: SCIENCE.tags.length }],
    pin(image) {
      const known = image.digest === '' ? others[image.reference] : image.digest;
      if (known === undefined) return Promise.reject(new LabwrightError('unknown_image', 400, 'not found'));
      return Promise.resolve({ ...image, digest: known, reference: `${image.reference.replace(/@.*/, '')}@${known}` });
    },
  };
}

interface Asking {
  readonly config?: Config;
  readonly others?: Record<string, string>;
  readonly as?: Caller;
}

async function create(
  options: Record<string, unknown>,
  { config = catalogue(), others = {}, as = 'ada' }: Asking = {},
) {
  const labs = fakeLabs();
  const app = testApp({ labs, config, images: serviceOf(config, others) });
  const json = formRequest({ image_list: undefined, ...options });
  const response = await app.call(`${API}/labs/${as}/create`, { as, json });
  const [lab] = labs.created;
  return { status: response.status, body: (await response.json()) as ErrorBody, lab };
}

describe('an image of a source', () => {
  it.each([
    ['by its class', { image_class: 'recommended' }, 'recommended', OTHER],
    ['as the newest weekly', { image_class: 'latest-weekly' }, 'w_2026_48', NEW],
    ['by its tag', { image_tag: 'w_2026_47' }, 'w_2026_47', OTHER],
    ['by its reference', { image_list: `${REPOSITORY}:w_2026_48` }, 'w_2026_48', NEW],
    ['by reference and digest', { image_list: `${REPOSITORY}:w_2026_48@${NEW}` }, 'w_2026_48', NEW],
    ['by a digest that its tag stood for before', { image_list: `${REPOSITORY}:w_2026_47@${OLD}` }, 'w_2026_47', OTHER],
    [
      'from the menu',
      { image_list: 'use_image_from_dropdown', image_dropdown: `${REPOSITORY}:w_2026_47` },
      'w_2026_47',
      OTHER,
    ],
  ])('is found %s, and runs by its digest', async (_, options, tag, of) => {
    const { status, lab } = await create(options);
    expect(status).toBe(201);
    expect(lab?.image).toMatchObject({ reference: `${REPOSITORY}:${tag}@${of}`, digest: of, origin: 'science' });
    expect(lab?.options.image).toBe(`${REPOSITORY}:${tag}@${of}`);
  });

  it('that nobody has looked up is asked for when it is started', async () => {
    const reference = `${REPOSITORY}:w_2026_46`;
    const { status, lab } = await create({ image_tag: 'w_2026_46' }, { others: { [reference]: OLD } });
    expect(status).toBe(201);
    expect(lab?.image.reference).toBe(`${reference}@${OLD}`);
    expect((await create({ image_tag: 'w_2026_46' })).body.detail[0]?.type).toBe('unknown_image');
  });

  it.each([
    ['a digest that its tag has never stood for', { image_list: `${REPOSITORY}:w_2026_48@${BOGUS}` }],
    ['a digest alone that no tag stands for', { image_list: `${REPOSITORY}@${BOGUS}` }],
    ['a tag that is not there', { image_tag: 'w_2026_49' }],
    ['another repository', { image_list: 'registry.example.org/other/lab:1' }],
  ])('is refused by %s', async (_, options) => {
    const { status, body } = await create(options);
    expect(status).toBe(400);
    expect(body.detail[0]?.type).toBe('unknown_image');
  });

  it('has the settings of its source', async () => {
    const source = catalogue().images.sources[0];
    const config = catalogue({ sources: [{ ...source, groups: ['chemists'], tags: { grammar: 'rubin' } }] });
    const { status, body } = await create({ image_list: `${REPOSITORY}:w_2026_48` }, { config });
    expect(status).toBe(403);
    expect(body.detail[0]?.type).toBe('permission_denied');
  });
});

describe('an image of the list', () => {
  it('of a form that is older than the configuration is what its tag stands for now, and that is said', async () => {
    const reference = 'registry.example.org/course/lab:1';
    const config = catalogue({ sources: [], list: [{ reference: `${reference}@${NEW}` }] });
    const listed: FoundImages = { ...SCIENCE, tags: [], images: { [reference]: found(NEW, [OLD]) } };
    const offered = offerImages(config, (name) => (name === LISTED ? listed : undefined), 0);
    const labs = fakeLabs();
    const app = testApp({ labs, config, images: { ...serviceOf(config), offered: () => offered } });
    const asked = `${reference}@${OLD}`;
    const ask = (image: string) =>
      app.call(`${API}/labs/ada/create`, { as: 'ada', json: formRequest({ image_list: image }) });
    expect((await ask(asked)).status).toBe(201);
    expect(labs.created[0]?.image).toMatchObject({ reference: `${reference}@${NEW}`, asked });
    expect((await ask(`${reference}@${BOGUS}`)).status).toBe(400);
  });
});

describe('another image', () => {
  const other = 'registry.example.org/private/lab:2';
  const allowed = (allowOther: unknown) => catalogue({ allowOther });
  const name = (config: Config, reference = other, as: Caller = 'ada') =>
    create({ image_list: reference }, { config, as, others: { [reference]: NEW } });

  it('is taken from whoever may name one, within the pattern', async () => {
    const config = allowed({
      groups: ['astronomers'],
      pattern: 'registry\\.example\\.org/private/[a-z]+:[0-9]+',
      message: 'Images of the private registry only.',
    });
    const taken = await name(config);
    expect(taken.status).toBe(201);
    expect(taken.lab?.image.reference).toBe(`${other}@${NEW}`);
    const outside = await name(config, 'registry.example.org/public/lab:2');
    expect(outside.status).toBe(400);
    expect(outside.body.detail[0]?.msg).toBe(
      'Docker reference "registry.example.org/public/lab:2" not found among the images offered here. ' +
        'What else may be named: Images of the private registry only.',
    );
    const bob = await name(config, other, 'bob');
    expect(bob.status).toBe(400);
    expect(bob.body.detail[0]?.type).toBe('unknown_image');
  });

  it('is any where nothing else is said', async () => {
    expect((await name(allowed(true))).status).toBe(201);
    expect((await name(allowed(false))).status).toBe(400);
  });
});

describe('the list of images', () => {
  const list = async (query = '', as: Caller = 'admin') => {
    const config = catalogue();
    const warmth = (of: string) =>
      of === OTHER ? { nodes: ['node-1', 'node-2'], missing: [] } : { nodes: ['node-1'], missing: ['node-2'] };
    return testApp({ config, images: serviceOf(config), prepull: aView(warmth) }).call(`${API}/images${query}`, { as });
  };

  it('is Nublado’s for administrators', async () => {
    expect(await (await list()).json()).toMatchObject({
      recommended: { reference: `${REPOSITORY}:recommended`, tag: 'recommended', digest: OTHER, prepulled: true },
      latest_weekly: { reference: `${REPOSITORY}:w_2026_48`, tag: 'w_2026_48', digest: NEW, prepulled: false },
      all: expect.arrayContaining([
        expect.objectContaining({ tag: 'exp_try', aliases: [], prepulled: false }),
      ]) as unknown,
    });
  });

  it('says in detail how current each source is', async () => {
    const { sources, images } = (await (await list('?detail=true')).json()) as {
      sources: unknown[];
      images: { tag: string; nodes: string[]; missing: string[]; source: string; size: number | null }[];
    };
    expect(sources).toEqual([{ name: 'science', read_at: '2026-11-30T00:00:00.000Z', tags: 5, problem: null }]);
    expect(images.find(({ tag }) => tag === 'w_2026_48')).toMatchObject({
      source: 'science',
      nodes: ['node-1'],
      missing: ['node-2'],
      size: 3 * 2 ** 30,
    });
  });

  it('is for administrators alone', async () => {
    expect((await list('', 'ada')).status).toBe(403);
    expect((await list('', 'hub')).status).toBe(403);
  });
});

describe('the form', () => {
  it('offers what is wanted as a choice each, and the rest in a menu', async () => {
    const config = catalogue();
    const app = testApp({ config, images: serviceOf(config) });
    const form = await (await app.call(`${API}/lab-form/ada`, { as: 'ada' })).text();
    const radios = [...form.matchAll(/type="radio" name="image_list" value="([^"]*)"/g)].map(([, value]) => value);
    expect(radios).toEqual([`${REPOSITORY}:recommended`, `${REPOSITORY}:w_2026_48`, 'use_image_from_dropdown']);
    expect(form).toContain(`<option value="${REPOSITORY}:w_2026_47">Weekly 2026_47</option>`);
    expect(form).toContain('Science: Recommended (Weekly 2026_47)');
    expect(form).not.toContain('exp_try');
  });
});
