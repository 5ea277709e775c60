import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { Config } from '../../../src/config/index.ts';
import type { ErrorBody } from '../../../src/routes/server/errors.ts';
import { fieldName, saidFor } from '../../../src/routes/labs/said-options.ts';
import { aConfig, aLabState, API, fakeLabs, formRequest, IMAGE, testApp } from '../support.ts';

const GPU = { 'nvidia.com/gpu': 1 };
const PROFILES = [
  {
    name: 'python',
    title: 'Python',
    options: {
      image: {
        title: 'Image',
        choices: [
          { name: 'scipy', image: 'example.org/scipy:1' },
          { name: 'minimal', default: true, image: 'example.org/minimal:1', lab: { defaultUrl: '/lab' } },
          { name: 'secret', image: 'example.org/secret:1', groups: ['chemists'] },
        ],
        writeIn: {
          pattern: '(quay.io|example.org)/[a-z/]+:.+',
          message: 'An image of quay.io with its tag.',
          image: '{value}',
        },
        repository: {},
      },
      memory: {
        choices: [
          { name: 'little', memory: '4Gi', memoryRequest: '1Gi' },
          { name: 'much', memory: '32Gi', cpuRequest: 2 },
        ],
      },
    },
  },
  { name: 'free', title: 'As you like' },
  { name: 'gpu', size: 'large', image: IMAGE, extendedResources: GPU, groups: ['astronomers'] },
  { name: 'staff', image: IMAGE, size: 'large', groups: ['chemists'] },
];

function aConfigWith(profiles: unknown = PROFILES, more: Record<string, unknown> = {}): Config {
  const sizes = [
    { name: 'small', cpu: 1, memory: '2Gi', cpuRequest: 0.25, memoryRequest: '512Mi' },
    { name: 'large', cpu: 4, memory: '16Gi', groups: ['chemists'] },
  ];
  return aConfig({ lab: { sizes, profiles }, ...more });
}

async function create(options: unknown, { config = aConfigWith() } = {}) {
  const labs = fakeLabs();
  const json = { ...formRequest(), options };
  const response = await testApp({ labs, config }).call(`${API}/labs/ada/create`, { as: 'ada', json });
  const { detail } = ((await response.json()) ?? {}) as Partial<ErrorBody>;
  return { status: response.status, fault: detail?.[0], lab: labs.created[0] };
}

describe('a lab of a profile', () => {
  it('is made of what is chosen beforehand where nothing is said', async () => {
    const { lab } = await create({});
    expect(lab?.profile).toEqual({
      name: 'python',
      options: { image: { choice: 'minimal' }, memory: { choice: 'little' } },
      ownSize: true,
    });
    expect(lab?.options).toMatchObject({ size: 'python', image: 'example.org/minimal:1' });
    expect(lab?.resources).toEqual({
      limits: { cpu: 1, memory: 4 * 2 ** 30 },
      requests: { cpu: 0.25, memory: 2 ** 30 },
    });
  });

  it.each([
    ['profile_options', { profile: 'python', profile_options: { image: 'scipy', memory: 'much' } }],
    [
      'the fields of the form',
      {
        profile: ['python'],
        'profile-option-python--image': ['scipy'],
        'profile-option-python--memory': ['much'],
        'profile-option-other--image': ['x'],
        size: ['small'],
        image_list: [IMAGE],
      },
    ],
    [
      'what KubeSpawner makes of its form',
      { profile: 'python', image: 'scipy', memory: 'much', anything: { else: 1 } },
    ],
  ])('is chosen by %s', async (_, options) => {
    const { status, lab } = await create(options);
    expect(status).toBe(201);
    expect(lab?.options.image).toBe('example.org/scipy:1');
    expect(lab?.resources.limits).toEqual({ cpu: 2, memory: 32 * 2 ** 30 });
    expect(lab?.resources.requests).toEqual({ cpu: 2, memory: 32 * 2 ** 30 });
  });

  it.each([
    ['in profile_options', { profile: 'python', profile_options: { image: 'quay.io/a/b:c' } }],
    [
      'in profile_options as in the form',
      { profile: 'python', profile_options: { 'image--unlisted-choice': ' quay.io/a/b:c ' } },
    ],
    [
      'in the form',
      {
        profile: ['python'],
        'profile-option-python--image': ['unlisted-choice'],
        'profile-option-python--image--unlisted-choice': ['quay.io/a/b:c'],
      },
    ],
    [
      'in KubeSpawner’s form, which sends the text alone',
      { profile: ['python'], 'profile-option-python--image--unlisted-choice': ['quay.io/a/b:c'] },
    ],
    ['by a caller of the hub', { profile: 'python', 'image--unlisted-choice': 'quay.io/a/b:c' }],
  ])('takes what is written in %s', async (_, options) => {
    const { lab } = await create(options);
    expect(lab?.options.image).toBe('quay.io/a/b:c');
    expect(lab?.profile?.options['image']).toEqual({ writeIn: 'quay.io/a/b:c' });
  });

  it('is what the menu of the form says, whatever stands in the text beside it', async () => {
    const { lab } = await create({
      profile: ['python'],
      'profile-option-python--image': ['scipy'],
      'profile-option-python--image--unlisted-choice': ['rm -rf'],
    });
    expect(lab?.options.image).toBe('example.org/scipy:1');
  });

  it('has the image and the size that its user chooses, where the profile names none', async () => {
    const { lab } = await create({ profile: 'free', size: 'small', image_tag: 'w_2026_47' });
    expect(lab?.profile).toEqual({ name: 'free', options: {} });
    expect(lab?.options).toMatchObject({ size: 'small', image: expect.stringMatching(/scipy-notebook/) as string });
    expect((await create({ profile: 'free' })).lab?.options).toMatchObject({ size: 'small', image: IMAGE });
    expect((await create({ profile: 'free', size: 'large' })).fault).toMatchObject({ type: 'permission_denied' });
  });

  it('has the size and the image of its profile, also those that are for others to choose', async () => {
    const { lab } = await create({ profile: 'gpu' });
    expect(lab?.options).toMatchObject({ size: 'large', image: IMAGE });
    expect(lab?.profile).toEqual({ name: 'gpu', options: {} });
    expect(lab?.extendedResources).toEqual({ 'nvidia.com/gpu': '1' });
  });

  it('is built from a repository', async () => {
    const builds = {
      builder: { image: 'quay.io/jupyterhub/repo2docker:2026.1' },
      registry: { host: 'registry.example.org' },
    };
    const config = aConfigWith(PROFILES, { builds });
    const inObject = { image: { image_repo: 'jupyter/docs', image_ref: 'main' } };
    const inForm = {
      profile: ['python'],
      'profile-option-python--image': ['repository-choice'],
      'profile-option-python--image--image_repo': ['jupyter/docs'],
      'profile-option-python--image--image_ref': ['main'],
      'profile-option-python--image--image_path': [''],
    };
    for (const options of [{ profile: 'python', profile_options: inObject }, inForm]) {
      const { lab } = await create(options, { config });
      expect(lab?.source).toMatchObject({ ref: 'main', path: '' });
      expect(lab?.options.image).toBe('https://github.com/jupyter/docs');
    }
    expect((await create({ profile: 'python', profile_options: inObject })).fault).toMatchObject({
      type: 'permission_denied',
    });
  });

  it('is told with its profile', async () => {
    const { spec } = aLabState();
    const profile = { name: 'python', options: { image: { writeIn: 'a/b:c' }, memory: { choice: 'much' } } };
    const labs = fakeLabs([aLabState({ spec: { ...spec, profile } })]);
    const state = await (await testApp({ labs }).call(`${API}/labs/ada?detail=true`, { as: 'hub' })).json();
    expect(state).toMatchObject({ profile: { name: 'python', options: { image: 'a/b:c', memory: 'much' } } });
  });
});

describe('a choice that cannot be', () => {
  const OPTIONS = ['body', 'options'];
  const refused = (type: string, loc: string[], msg: unknown) => ({ type, loc: [...OPTIONS, ...loc], msg });

  it.each([
    [
      'a profile that is gone',
      { profile: 'julia' },
      422,
      refused('invalid_profile', ['profile'], 'There is no profile "julia" any more'),
    ],
    [
      'a profile that is no name',
      { profile: '<b>' },
      422,
      refused('invalid_profile', ['profile'], 'There is no profile of that name any more'),
    ],
    [
      'a profile for others',
      { profile: 'staff' },
      403,
      refused('permission_denied', ['profile'], 'This profile is not offered to you'),
    ],
    [
      'an option that is gone',
      { profile: 'python', profile_options: { gone: 'x' } },
      422,
      refused('invalid_profile_option', ['profile_options', 'gone'], 'The profile "python" has no option "gone"'),
    ],
    [
      'a choice that is gone',
      { profile: 'python', 'profile-option-python--memory': ['huge'] },
      422,
      refused(
        'invalid_profile_option',
        ['profile-option-python--memory'],
        'There is no choice "huge" of memory any more: expected one of little, much',
      ),
    ],
    [
      'a choice for others',
      { profile: 'python', image: 'secret' },
      403,
      refused('permission_denied', ['image'], 'This choice of Image is not offered to you'),
    ],
    [
      'a write-in that the pattern refuses',
      { profile: 'python', profile_options: { image: 'evil.io/quay.io/a:b' } },
      422,
      refused('invalid_profile_option', ['profile_options', 'image'], 'Image: An image of quay.io with its tag.'),
    ],
    [
      'a write-in of two lines',
      { profile: 'python', profile_options: { image: 'quay.io/a:b\nc' } },
      422,
      refused('invalid_profile_option', ['profile_options', 'image'], 'Image: An image of quay.io with its tag.'),
    ],
    [
      'a write-in that is no image',
      { profile: 'python', profile_options: { image: 'quay.io/a:b c' } },
      422,
      refused('invalid_docker_reference', ['profile_options', 'image'], 'Docker reference is not valid'),
    ],
    [
      'nothing written in',
      { profile: 'python', 'profile-option-python--image': ['unlisted-choice'] },
      422,
      refused('invalid_profile_option', ['profile-option-python--image'], 'Nothing is written in for Image'),
    ],
    [
      'a write-in where there is none',
      { profile: 'python', 'memory--unlisted-choice': '1' },
      422,
      refused('invalid_profile_option', ['memory--unlisted-choice'], 'Nothing can be written in for memory'),
    ],
    [
      'a repository where there is none',
      { profile: 'python', profile_options: { memory: { image_repo: 'a/b' } } },
      422,
      refused('invalid_profile_option', ['profile_options', 'memory', 'image_repo'], 'No image is built for memory'),
    ],
    [
      'two choices',
      { profile: 'python', 'profile-option-python--memory': ['little', 'much'] },
      422,
      refused('invalid_profile_option', ['profile-option-python--memory'], 'Too many values'),
    ],
    [
      'a choice that is no text',
      { profile: 'python', profile_options: { memory: 4 } },
      422,
      refused('invalid_profile_option', ['profile_options', 'memory'], 'Input should be a valid string'),
    ],
    [
      'an image beside a profile that nobody named',
      { image_list: IMAGE },
      422,
      refused('invalid_profile', ['image_list'], 'The profile "python" decides that: say which profile is meant'),
    ],
    [
      'a size beside a profile that nobody named',
      { size: 'small' },
      422,
      refused('invalid_profile', ['size'], 'The profile "python" decides that: say which profile is meant'),
    ],
    [
      'options that are no table',
      { profile: 'python', profile_options: 'x' },
      422,
      { type: 'dict_type', loc: [...OPTIONS, 'profile_options'], msg: 'Input should be a valid dictionary' },
    ],
    [
      'names of every object',
      { profile: 'python', profile_options: { constructor: 'x' } },
      422,
      refused(
        'invalid_profile_option',
        ['profile_options', 'constructor'],
        'The profile "python" has no option "constructor"',
      ),
    ],
  ])('is refused: %s', async (_, options, status, fault) => {
    const answer = await create(options);
    expect(answer).toEqual({ status, fault, lab: undefined });
  });

  it('is a profile where there are none', async () => {
    expect(await create({ profile: 'python' }, { config: aConfig() })).toMatchObject({
      status: 422,
      fault: refused('invalid_profile', ['profile'], 'There are no profiles here'),
    });
  });

  it('is no way around the groups of an image', async () => {
    const list = [{ reference: IMAGE }, { reference: 'quay.io/a/secret:1', groups: ['chemists'] }];
    const config = aConfigWith(PROFILES, { images: { list } });
    const { status, fault } = await create(
      { profile: 'python', profile_options: { image: 'quay.io/a/secret:2' } },
      { config },
    );
    expect([status, fault?.type]).toEqual([403, 'permission_denied']);
  });

  it('is what holds a placeholder, or breaks what it is written into', async () => {
    const writeIn = { lab: { env: { NOTE: '{value}' }, extraLabels: { note: '{value}' }, defaultUrl: '/{value}' } };
    const config = aConfigWith([{ name: 'a', options: { note: { writeIn } } }]);
    const written = async (text: string) =>
      (await create({ profile: 'a', profile_options: { note: text } }, { config })).fault?.msg;
    expect(await written('{email}')).toBe('note: It holds a word in braces');
    expect(await written('a b')).toBe('note: It cannot be the value of a label');
    expect(await written('/evil.org')).toBe('note: It cannot be the value of a label');
    expect(await written('plain')).toBeUndefined();
  });

  it('is more than the quota', async () => {
    const quotas = { groups: {}, users: { ada: { cpu: 2, memory: 2 ** 33, spawn: true } } };
    const config = { ...aConfigWith(), quotas };
    expect((await create({ profile: 'python' }, { config })).status).toBe(201);
    expect(await create({ profile: 'python', memory: 'much' }, { config })).toMatchObject({
      status: 403,
      fault: { type: 'insufficient_quota', loc: [...OPTIONS, 'profile'] },
    });
  });
});

describe('the description of the API', () => {
  it('names the profiles and their options', async () => {
    const document = (await (await testApp({ config: aConfigWith() }).call('/openapi.json')).json()) as {
      components: { schemas: Record<string, { required?: string[]; properties: Record<string, unknown> }> };
    };
    const { required, properties } = document.components.schemas['LabRequestOptions']!;
    expect(required).toBeUndefined();
    expect(JSON.stringify(properties['profile'])).toContain('"enum":["python","free","gpu","staff"]');
    expect(properties['profile_options']).toHaveProperty('properties.image');
  });
});

describe('what a form sends for an option', () => {
  const name = fc.stringMatching(/^[A-Za-z](?:[A-Za-z0-9._-]{0,20}[A-Za-z0-9])?$/);
  const optionName = name.filter((text) => !text.includes('--'));

  it('is found for that profile and that option, and for no other', () => {
    fc.assert(
      fc.property(
        name,
        name,
        optionName,
        optionName,
        fc.string({ minLength: 1, maxLength: 50 }),
        (profile, other, option, second, text) => {
          fc.pre(!(profile === other && option === second));
          const said = { profileOptions: {}, others: { [fieldName(profile, option)]: [text] }, size: undefined };
          expect(saidFor(said, profile, option)?.text).toBe(text);
          expect(saidFor(said, profile, option, 'unlisted-choice')).toBeUndefined();
          if (fieldName(profile, option) !== fieldName(other, second))
            expect(saidFor(said, other, second)).toBeUndefined();
        },
      ),
    );
  });

  it('is never an error of ours, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (inOptions, inForm) => {
        const said = {
          profileOptions: { image: inOptions },
          others: { [fieldName('a', 'image')]: inForm },
          size: undefined,
        };
        for (const part of ['', 'unlisted-choice', 'image_repo'] as const) {
          try {
            const found = saidFor(said, 'a', 'image', part);
            expect(typeof (found?.text ?? '')).toBe('string');
          } catch (error) {
            expect(error).toMatchObject({ code: 'invalid_profile_option', status: 422 });
          }
        }
      }),
    );
  });
});
