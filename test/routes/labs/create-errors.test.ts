import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { ErrorBody } from '../../../src/routes/server/errors.ts';
import { aConfig, API, type CallOptions, DIGEST, fakeLabs, formRequest, IMAGE, testApp } from '../support.ts';

const OPTIONS = ['body', 'options'];
const SIZE = ['body', 'options', 'size'];

async function create(json: unknown, options: CallOptions & { config?: ReturnType<typeof aConfig> } = {}) {
  const labs = fakeLabs();
  const { config = aConfig(), ...call } = options;
  const response = await testApp({ labs, config }).call(`${API}/labs/ada/create`, { as: 'ada', json, ...call });
  return { status: response.status, body: (await response.json()) as ErrorBody, lab: labs.created[0] };
}

/** One error of ours, keys in the order of Nublado's. */
const domain = (type: string, msg: string, loc?: readonly string[]) => ({
  detail: [{ msg, type, ...(loc === undefined ? {} : { loc }) }],
});
/** One error of the validation, in FastAPI's order. */
const invalid = (type: string, loc: readonly string[], msg: string) => ({ detail: [{ type, loc, msg }] });
const valueError = (loc: readonly string[], msg: string) => invalid('value_error', loc, `Value error, ${msg}`);

/** Options with just these image selectors. */
const selecting = (selectors: Record<string, unknown>) => formRequest({ image_list: undefined, ...selectors });

describe('the form of the options', () => {
  it.each([
    ['plain values', { size: 'small', image_list: IMAGE, enable_debug: true }],
    ['lists of one', { size: ['small'], image_list: [IMAGE], enable_debug: ['true'] }],
    ['any case of the size', { size: 'Small', image_list: IMAGE, enable_debug: 'true' }],
    [
      'lists and nulls that say nothing',
      { size: ['small'], image_list: [IMAGE], image_tag: [], image_class: null, enable_debug: true },
    ],
    ['keys nobody knows', { size: 'small', image_list: IMAGE, enable_debug: true, _xsrf: ['a'], x_file: [1, 2] }],
  ])('may be %s', async (_, options) => {
    const { status, lab } = await create({ options, env: formRequest().env, more: 1 });
    expect(status).toBe(201);
    expect(lab?.options).toEqual({ size: 'small', enable_debug: true, reset_user_env: false, image: IMAGE });
  });

  it.each([
    ['no size', formRequest({ size: [] }), invalid('missing', SIZE, 'Field required')],
    [
      'a size that is no text',
      formRequest({ size: 3 }),
      invalid('string_type', SIZE, 'Input should be a valid string'),
    ],
    ['two sizes', formRequest({ size: ['small', 'large'] }), valueError(SIZE, 'Too many values for size')],
    [
      'a switch that is neither true nor false',
      formRequest({ enable_debug: 'on' }),
      invalid('bool_parsing', [...OPTIONS, 'enable_debug'], 'Input should be a valid boolean'),
    ],
    [
      'a class there is not',
      selecting({ image_class: 'best' }),
      invalid(
        'enum',
        [...OPTIONS, 'image_class'],
        "Input should be 'recommended', 'latest-release', 'latest-weekly' or 'latest-daily'",
      ),
    ],
    ['no image', selecting({}), valueError(OPTIONS, 'No image to spawn specified')],
    ['an empty image', selecting({ image_list: '' }), valueError(OPTIONS, 'No image to spawn specified')],
    [
      'a menu chosen and left empty',
      selecting({ image_list: 'use_image_from_dropdown', image_dropdown: '' }),
      valueError(OPTIONS, 'No image to spawn specified'),
    ],
    [
      'two images',
      formRequest({ image_tag: 'x' }),
      valueError(OPTIONS, 'Image specified multiple ways (image_list, image_tag)'),
    ],
    [
      'options that are a list',
      { ...formRequest(), options: [] },
      invalid('dict_type', ['body', 'options'], 'Input should be a valid dictionary'),
    ],
    ['no options', { env: formRequest().env }, invalid('missing', ['body', 'options'], 'Field required')],
    ['no object', [], invalid('dict_type', ['body'], 'Input should be a valid dictionary')],
  ])('is refused for %s', async (_, json, body) => {
    expect(await create(json)).toEqual({ status: 422, body, lab: undefined });
  });

  it('lists every fault, but no more than twenty', async () => {
    const both = await create({});
    expect(both.body.detail).toHaveLength(2);
    const env = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`NAME_${String(at)}`, at]));
    expect((await create({ ...formRequest(), env })).body.detail).toHaveLength(20);
  });
});

describe('the environment', () => {
  it.each([
    ['nothing', {}, valueError(['body', 'env'], 'Environment must contain JUPYTERHUB_SERVICE_PREFIX')],
    ['text', 'A=b', invalid('dict_type', ['body', 'env'], 'Input should be a valid dictionary')],
    [
      'a value that is no text',
      { JUPYTERHUB_SERVICE_PREFIX: '/', N: 1 },
      invalid('string_type', ['body', 'env', 'N'], 'Input should be a valid string'),
    ],
    [
      'a name that none can be',
      { JUPYTERHUB_SERVICE_PREFIX: '/', 'A=b': '' },
      valueError(['body', 'env'], 'Environment has a name that no variable can have'),
    ],
    [
      'a NUL',
      { JUPYTERHUB_SERVICE_PREFIX: '/', A: 'a\0b' },
      valueError(['body', 'env', 'A'], 'Value is no valid text'),
    ],
    [
      'half a character',
      { JUPYTERHUB_SERVICE_PREFIX: '/', A: '\ud800' },
      valueError(['body', 'env', 'A'], 'Value is no valid text'),
    ],
    [
      'a value too long for a process',
      { JUPYTERHUB_SERVICE_PREFIX: '/', A: 'x'.repeat(131_072) },
      valueError(['body', 'env', 'A'], 'Value is too long'),
    ],
    [
      'more than a Secret takes',
      {
        JUPYTERHUB_SERVICE_PREFIX: '/',
        ...Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`V${n}`, 'x'.repeat(100_000)])),
      },
      valueError(['body', 'env'], 'Environment is too large'),
    ],
    [
      'too many variables',
      {
        JUPYTERHUB_SERVICE_PREFIX: '/',
        ...Object.fromEntries(Array.from({ length: 1024 }, (_, at) => [`V${String(at)}`, ''])),
      },
      valueError(['body', 'env'], 'Environment has more than 1024 variables'),
    ],
    [
      'a service prefix that is no path',
      { JUPYTERHUB_SERVICE_PREFIX: 'http://x/' },
      valueError(['body', 'env', 'JUPYTERHUB_SERVICE_PREFIX'], 'Value must be a path that begins with a slash'),
    ],
  ])('is refused for %s', async (_, env, body) => {
    expect(await create({ ...formRequest(), env })).toEqual({ status: 422, body, lab: undefined });
  });
});

describe('the image', () => {
  it.each([
    ['a listed reference', { image_list: IMAGE }, IMAGE],
    ['one that was written', { image_list: 'use_image_by_name', image_name: IMAGE, image_dropdown: 'x/y:z' }, IMAGE],
    ['a menu entry', { image_list: 'use_image_from_dropdown', image_dropdown: IMAGE }, IMAGE],
    ['a list entry and the menu that browsers always send', { image_list: IMAGE, image_dropdown: 'x/y:z' }, IMAGE],
    ['a class', { image_class: 'recommended' }, IMAGE],
    ['a tag', { image_tag: '2026-11-02' }, IMAGE],
    [
      'a tag whose digest is known',
      { image_list: 'quay.io/jupyter/scipy-notebook:w_2026_47' },
      `quay.io/jupyter/scipy-notebook:w_2026_47@${DIGEST}`,
    ],
    [
      'a digest alone',
      { image_list: `quay.io/jupyter/scipy-notebook@${DIGEST}` },
      `quay.io/jupyter/scipy-notebook:w_2026_47@${DIGEST}`,
    ],
  ])('is found by %s', async (_, selectors, image) => {
    expect((await create(selecting(selectors))).lab?.options.image).toBe(image);
  });

  it.each([
    ['image_list', 'foo bar', 422, 'invalid_docker_reference', 'Docker reference is not valid'],
    ['image_list', '<script>', 422, 'invalid_docker_reference', 'Docker reference is not valid'],
    ['image_dropdown', 'quay.io/a/b', 422, 'invalid_docker_reference', 'Docker reference "quay.io/a/b" has no tag'],
    ['image_list', 'quay.io/a/b:c', 400, 'unknown_image', 'Docker reference "quay.io/a/b:c" not found'],
    ['image_tag', 'w_1', 400, 'unknown_image', 'Docker tag "w_1" not found'],
    ['image_tag', '<b>', 400, 'unknown_image', 'Docker tag in the request not found'],
    ['image_class', 'latest-release', 400, 'unknown_image', 'No latest-release image found'],
  ])('by %s %j is an error', async (selector, value, status, type, msg) => {
    const body = domain(type, msg, [...OPTIONS, selector]);
    expect(await create(selecting({ [selector]: value }))).toEqual({ status, body, lab: undefined });
  });

  it.each([
    ['its own tag', `quay.io/jupyter/scipy-notebook:w_2026_47@sha256:${'cd'.repeat(32)}`],
    ['another repository', `quay.io/jupyter/other:w_2026_47@sha256:${'cd'.repeat(32)}`],
    ['a tag that is not listed', `quay.io/jupyter/scipy-notebook:w_1@sha256:${'cd'.repeat(32)}`],
    ['no tag', `quay.io/jupyter/scipy-notebook@sha256:${'cd'.repeat(32)}`],
  ])('is not found by another digest with %s', async (_, image) => {
    expect((await create(selecting({ image_list: image }))).status).toBe(400);
  });

  it('is the digest that was asked for where any image may be named', async () => {
    const config = aConfig({ images: { list: [{ reference: 'quay.io/a/b:c' }], allowOther: true } });
    const asked = `quay.io/a/b:c@sha256:${'cd'.repeat(32)}`;
    const { lab } = await create(selecting({ image_list: asked }), { config });
    expect(lab?.image).toEqual({ reference: asked, name: asked, digest: `sha256:${'cd'.repeat(32)}` });
  });

  it('may be any complete reference where the configuration allows that', async () => {
    const config = aConfig({ images: { list: [{ reference: IMAGE }], allowOther: true } });
    const { lab } = await create(selecting({ image_list: `ghcr.io/a/b@${DIGEST}` }), { config });
    expect(lab?.image).toEqual({ reference: `ghcr.io/a/b@${DIGEST}`, name: `ghcr.io/a/b@${DIGEST}`, digest: DIGEST });
    expect((await create(selecting({ image_list: 'ghcr.io/a/b' }), { config })).status).toBe(422);
  });

  it('recommended is the first one where none is marked', async () => {
    const config = aConfig({ images: { list: [{ reference: 'a/b:c' }, { reference: 'd/e:f' }] } });
    expect((await create(selecting({ image_class: 'recommended' }), { config })).lab?.options.image).toBe('a/b:c');
  });
});

describe('what the user may have', () => {
  const quotas = (quota: unknown) => aConfig({ quotas: { groups: { astronomers: quota } } });

  it('refuses a size that is not configured', async () => {
    expect(await create(formRequest({ size: 'Gargantuan' }))).toMatchObject({
      status: 422,
      body: domain('invalid_lab_size', 'Invalid lab size "gargantuan"', SIZE),
    });
    expect((await create(formRequest({ size: '<b>' }))).body).toEqual(
      domain('invalid_lab_size', 'Invalid lab size', SIZE),
    );
  });

  it.each([
    { cpu: 2, memory: '64Gi' },
    { cpu: 8, memory: '4Gi' },
  ])('refuses a size above the quota %j', async (quota) => {
    expect(await create(formRequest({ size: 'large' }), { config: quotas(quota) })).toMatchObject({
      status: 403,
      body: domain('insufficient_quota', 'Insufficient quota to spawn requested lab', SIZE),
    });
  });

  it('remembers which overlays are for the user', async () => {
    const overlays = [
      { name: 'course', match: { groups: ['astronomers'] }, lab: {} },
      { name: 'others', match: { groups: ['chemists'] }, lab: {} },
    ];
    const { lab } = await create(formRequest(), { config: aConfig({ overlays }) });
    expect(lab?.overlays).toEqual(['course']);
    expect((await create(formRequest())).lab).not.toHaveProperty('overlays');
  });

  it.each([
    ['another size', { sizes: [{ name: 'small', cpu: 1, memory: '1Gi', groups: ['chemists'] }] }, undefined, 'size'],
    ['another image', undefined, { list: [{ reference: IMAGE, groups: ['chemists'] }] }, 'image_list'],
  ])('refuses what is for other groups, whatever a form has shown: %s', async (_, lab, images, option) => {
    const config = aConfig({ ...(lab && { lab }), ...(images && { images }) });
    const what = option === 'size' ? 'size' : 'image';
    expect(await create(formRequest(), { config })).toMatchObject({
      status: 403,
      body: domain('permission_denied', `This ${what} is not offered to you`, ['body', 'options', option]),
    });
  });

  it.each([
    'example.org/secret:1',
    'EXAMPLE.org/secret:1',
    'example.org:443/secret:1',
    'example.org/secret:2',
    `example.org/secret:1@${DIGEST}`,
    'python:3',
    'index.docker.io/library/python:4',
  ])('refuses an image for other groups however it is spelt, where any may be named: %s', async (reference) => {
    const list = [
      { reference: IMAGE },
      { reference: 'example.org/secret:1', groups: ['chemists'] },
      { reference: 'docker.io/library/python:3', groups: ['chemists'] },
    ];
    const config = aConfig({ images: { list, allowOther: true } });
    const body = domain('permission_denied', 'This image is not offered to you', ['body', 'options', 'image_list']);
    expect(await create(formRequest({ image_list: reference }), { config })).toMatchObject({ status: 403, body });
    expect((await create(formRequest({ image_list: 'example.org/other:1' }), { config })).status).toBe(201);
  });

  it('finds a class among what is offered', async () => {
    const list = [{ reference: 'example.org/secret:1', groups: ['chemists'] }, { reference: 'example.org/open:1' }];
    const { lab } = await create(selecting({ image_class: 'recommended' }), { config: aConfig({ images: { list } }) });
    expect(lab?.options.image).toBe('example.org/open:1');
  });

  it('refuses a size that the image does not go with', async () => {
    const config = aConfig({ images: { list: [{ reference: IMAGE, sizes: ['large'] }] } });
    expect(await create(formRequest(), { config })).toMatchObject({
      status: 422,
      body: domain('invalid_lab_size', 'The image goes with the lab sizes large only', SIZE),
    });
    expect((await create(formRequest({ size: 'large' }), { config })).status).toBe(201);
  });

  it('hands the quota on', async () => {
    const { lab } = await create(formRequest(), { config: quotas({ cpu: 2, memory: '64Gi' }) });
    expect(lab?.quota).toEqual({ cpu: 2, memory: 2 ** 36, spawn: true });
  });

  it('refuses everything of a user who may not spawn, before it looks at the rest', async () => {
    expect(
      await create(formRequest({ size: 'x', image_list: 'no image' }), { config: quotas({ spawn: false }) }),
    ).toMatchObject({ status: 403, body: domain('permission_denied', 'Spawning a notebook is not permitted') });
  });

  it('refuses a user of whom no uid is known, and says so', async () => {
    const labs = fakeLabs();
    const response = await testApp({ labs }).call(`${API}/labs/nobody/create`, { as: 'admin', json: formRequest() });
    expect(response.status).toBe(403);
    expect(await response.json()).toEqual(domain('permission_denied', 'Must have a UID to spawn labs'));
  });

  it('looks at the image before the size, and at the size before the quota', async () => {
    const none = quotas({ cpu: 0.1, memory: '1Mi' });
    expect((await create(formRequest({ size: 'x', image_list: 'a/b:c' }), { config: none })).status).toBe(400);
    expect((await create(formRequest({ size: 'x' }), { config: none })).status).toBe(422);
    expect((await create(formRequest(), { config: none })).status).toBe(403);
  });
});

describe('the body', () => {
  it.each([
    ['no JSON', { body: '{', headers: { 'content-type': 'application/json' } }, 422, 'json_invalid'],
    ['nothing', { method: 'POST', headers: { 'content-type': 'application/json' } }, 422, 'json_invalid'],
    ['a form', { body: new URLSearchParams({ size: 'small' }) }, 415, 'unsupported_media_type'],
    ['bytes of no type', { body: new TextEncoder().encode('{}') }, 415, 'unsupported_media_type'],
  ] as const)('that is %s is refused', async (_, options, status, type) => {
    const { status: actual, body } = await create(undefined, options);
    expect([actual, body.detail[0]?.type]).toEqual([status, type]);
  });

  it('is read with a charset too', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' };
    expect((await create(formRequest(), { headers })).status).toBe(201);
  });

  it('is not read beyond a mebibyte', async () => {
    const body = `{"options":"${'x'.repeat(1024 * 1024)}"}`;
    const headers = { 'content-type': 'application/json' };
    const declared = { ...headers, 'content-length': String(body.length) };
    for (const sent of [headers, declared]) {
      const answer = await create(undefined, { body, headers: sent });
      expect(answer.status).toBe(413);
      expect(answer.body).toMatchObject({ detail: [{ type: 'payload_too_large' }] });
    }
  });

  it('may be nested as deeply as it likes', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const body = JSON.stringify(formRequest({ _xsrf: 0 })).replace('"_xsrf":0', `"_xsrf":${deep}`);
    expect((await create(undefined, { body, headers: { 'content-type': 'application/json' } })).status).toBe(201);
  });

  it('is not looked at before the caller is known', async () => {
    const response = await testApp().call(`${API}/labs/ada/create`, { as: 'bob', json: {} });
    expect(response.status).toBe(403);
  });
});
