import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { canary } from '../../support/canary.ts';
import { config } from '../builds/build-support.ts';
import { aConfig, API, fakeLabs, formRequest, IMAGE, testApp } from '../support.ts';

const PASSWORD = canary('in-a-url');
const REPOSITORY = 'https://github.com/ada/notebooks';
/** What browsers send for the form's text fields that were left alone. */
const EMPTY = { image_repo: [''], image_ref: [''], image_path: [''], image_dropdown: [''] };

async function create(options: Record<string, unknown>, change = config) {
  const labs = fakeLabs();
  const { call } = testApp({ labs, config: change });
  const json = formRequest({ image_list: undefined, ...options });
  const response = await call(`${API}/labs/ada/create`, { as: 'ada', json });
  return { status: response.status, detail: ((await response.json()) as { detail?: unknown[] } | null)?.detail, labs };
}

describe('a lab that is asked for by a repository', () => {
  it('is the repository in one spelling, at a ref and in a directory, without an image yet', async () => {
    const { status, labs } = await create({ image_repo: 'ada/notebooks.git', image_ref: 'v1', image_path: '/a/b/' });
    expect(status).toBe(201);
    expect(labs.created[0]).toMatchObject({
      source: { repository: { provider: 'gh', url: REPOSITORY }, ref: 'v1', path: 'a/b' },
      image: { reference: '', digest: '', name: `${REPOSITORY} (v1)` },
      options: { image: REPOSITORY },
    });
  });

  it('is its default branch and all of it where nothing else is said', async () => {
    const { labs } = await create({ image_repo: REPOSITORY });
    expect(labs.created[0]?.source).toMatchObject({ ref: 'HEAD', path: '' });
  });

  it.each([
    ['no repository', { image_repo: 'nonsense' }],
    ['a password', { image_repo: `https://ada:${PASSWORD}@git.example.org/a/b` }],
    ['a ref that could be an option', { image_repo: REPOSITORY, image_ref: '--upload-pack=x' }],
    ['a path that leads out of it', { image_repo: REPOSITORY, image_path: '../etc' }],
  ])('is refused with 422 for %s, and says where', async (_, options) => {
    const { status, detail, labs } = await create(options);
    expect(status).toBe(422);
    expect(detail).toEqual([
      { type: 'invalid_repository', loc: ['body', 'options', 'image_repo'], msg: expect.any(String) as string },
    ]);
    expect(JSON.stringify(detail)).not.toContain(PASSWORD);
    expect(labs.created).toEqual([]);
  });

  it('is an unknown image where nothing is built', async () => {
    const { status, detail } = await create({ image_repo: REPOSITORY }, aConfig());
    expect(status).toBe(400);
    expect(detail).toMatchObject([{ type: 'unknown_image', loc: ['body', 'options', 'image_repo'] }]);
  });

  it('is not an image at the same time', async () => {
    const { status, detail } = await create({ image_repo: REPOSITORY, image_tag: 'latest' });
    expect(status).toBe(422);
    expect(JSON.stringify(detail)).toContain('image_tag, image_repo');
  });
});

describe('a form, which sends all of its fields', () => {
  const filled = { ...EMPTY, image_repo: [REPOSITORY], image_ref: ['main'] };

  it('asks for the repository when that was chosen, though the menu says something', async () => {
    const { labs } = await create({ ...filled, image_list: ['use_image_from_repository'], image_dropdown: [IMAGE] });
    expect(labs.created[0]?.source?.repository.url).toBe(REPOSITORY);
  });

  it.each([
    ['an image of the list', { image_list: [IMAGE] }],
    ['an image of the menu', { image_list: ['use_image_from_dropdown'], image_dropdown: [IMAGE] }],
  ])('asks for %s when that was chosen, though a repository was written', async (_, chosen) => {
    const { status, labs } = await create({ ...filled, ...chosen });
    expect(status).toBe(201);
    expect(labs.created[0]).toMatchObject({ image: { reference: IMAGE } });
    expect(labs.created[0]?.source).toBeUndefined();
  });

  it('says that there is no image when the repository was chosen and left empty', async () => {
    const { status, detail } = await create({ ...EMPTY, image_list: ['use_image_from_repository'] });
    expect(status).toBe(422);
    expect(JSON.stringify(detail)).toContain('No image to spawn specified');
  });
});

describe('the form itself', () => {
  const formOf = async (change = config) =>
    (await testApp({ config: change }).call(`${API}/lab-form/ada`, { as: 'ada' })).text();

  it('offers a repository, a ref and a directory, and requires none of them', async () => {
    const form = await formOf();
    expect(form).toContain('value="use_image_from_repository"');
    expect([...form.matchAll(/<input type="text" name="(image_\w+)"/g)].map(([, name]) => name)).toEqual([
      'image_repo',
      'image_ref',
      'image_path',
    ]);
    expect(form).not.toMatch(/<(?:input|select)\b[^>]*\srequired/);
    expect(form).not.toMatch(/use_image_from_repository" checked/);
  });

  it('does not where nothing is built', async () => {
    const [, form = ''] = (await formOf(aConfig())).split('</style>');
    expect(form).toContain('image_list');
    expect(form).not.toMatch(/image_repo|image_ref|image_path|repository/);
  });
});
