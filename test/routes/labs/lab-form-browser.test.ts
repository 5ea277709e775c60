import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import '../../support/leaks.ts';
import type { ImageService } from '../../../src/reconcile/images/image-service.ts';
import { offerImages } from '../../../src/reconcile/images/offered-images.ts';
import type { AppDeps } from '../../../src/routes/server/app.ts';
import { aView } from '../images/view.ts';
import { aConfig, API, fakeLabs, formRequest, IMAGE, testApp } from '../support.ts';

/** Where Debian puts it; another one can be named in CHROMIUM. */
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
if (!existsSync(CHROMIUM))
  process.stdout.write('\nNOT RUN: the form of labs in a browser: there is no Chromium here.\n');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const HUB = 'http://hub.test/';
const FITS = 'document.documentElement.scrollWidth <= document.documentElement.clientWidth';

const config = aConfig({
  images: {
    list: Array.from({ length: 20 }, (_, at) => ({
      reference: `example.org/image:${String(at)}`,
      name: `Image ${String(at)}`,
    })),
  },
  builds: { builder: { image: 'example.org/builder:1' }, registry: { host: 'registry.example.org' } },
  lab: {
    sizes: [
      { name: 'small', cpu: 1, memory: '2Gi' },
      { name: 'large', cpu: 4, memory: '16Gi', description: 'There are few of them.' },
    ],
    profiles: [
      {
        name: 'course',
        title: 'Introduction to data',
        description: 'What the course needs, and nothing else.',
        options: {
          image: {
            title: 'Image',
            description: 'Each has what one part of the course needs.',
            choices: Array.from({ length: 12 }, (_, at) => ({
              name: `part-${String(at + 1)}`,
              title: `Part ${String(at + 1)}`,
              image: `example.org/part:${String(at + 1)}`,
            })),
            writeIn: {
              title: 'Another image',
              pattern: '(quay\\.io|ghcr\\.io)/[a-z0-9._/-]+:.+',
              message: 'An image of quay.io or ghcr.io with its tag, such as quay.io/name/image:tag.',
              image: '{value}',
            },
            repository: { title: 'From a repository' },
          },
          memory: {
            title: 'Resources',
            choices: [
              { name: 'little', cpu: 1, memory: '2Gi' },
              { name: 'much', title: 'A lot', description: 'for large tables', cpu: 4, memory: '16Gi' },
            ],
          },
        },
      },
      {
        name: 'gpu',
        title: 'A GPU',
        description: 'A machine of its own.',
        image: IMAGE,
        cpu: 8,
        memory: '30Gi',
        extendedResources: { 'nvidia.com/gpu': 1 },
      },
      { name: 'free', title: 'As you like', description: 'Any image, any size.' },
      { name: 'staff', title: 'Only for staff', groups: ['staff'], image: IMAGE },
    ],
  },
});

let browser: Browser;
beforeAll(async () => {
  if (existsSync(CHROMIUM)) browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});
afterAll(async () => {
  if (existsSync(CHROMIUM)) await browser.close();
});

/** The page of a hub with the form in it, and what it sends. */
async function open(
  options: BrowserContextOptions & { last?: unknown; of?: ReturnType<typeof aConfig>; with?: Partial<AppDeps> } = {},
) {
  const { last, of = config, with: deps = {}, ...context } = options;
  const query = last === undefined ? '' : `?last=${encodeURIComponent(JSON.stringify(last))}`;
  const form = await (await testApp({ config: of, ...deps }).call(`${API}/lab-form/ada${query}`, { as: 'ada' })).text();
  const opened = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context });
  onTestFinished(() => opened.close());
  const page = await opened.newPage();
  const sent: URLSearchParams[] = [];
  await page.route('**/*', (route) => {
    const request = route.request();
    if (request.method() === 'POST') sent.push(new URLSearchParams(request.postData() ?? ''));
    const dark =
      context.colorScheme === 'dark'
        ? ':root{color-scheme:dark;--bs-body-bg:#212529;--bs-body-color:#dee2e6;--bs-secondary-color:#adb5bd;--bs-border-color:#495057;--bs-tertiary-bg:#2b3035}'
        : '';
    return route.fulfill({
      contentType: 'text/html; charset=utf-8',
      body: `<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>Server options</title>
<style>${dark}body{background:var(--bs-body-bg,#fff);color:var(--bs-body-color,#000);font-family:sans-serif}</style></head>
<body><main><h1>Server options</h1><form method="post" action="/hub/spawn">${form}<button>Start</button></form></main></body></html>`,
    });
  });
  await page.goto(HUB);
  return { page, sent };
}

/** What a hub makes of what the form has sent, and Labwright of that. */
async function createFrom(sent: URLSearchParams | undefined) {
  const options = Object.fromEntries([...new Set(sent?.keys())].map((name) => [name, sent?.getAll(name)]));
  const labs = fakeLabs();
  const json = { ...formRequest(), options };
  const response = await testApp({ labs, config }).call(`${API}/labs/ada/create`, { as: 'ada', json });
  return { status: response.status, lab: labs.created[0] };
}

async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }> };
    };
    return (await axe.run()).violations;
  });
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id}: ${html} ${failureSummary}`),
  );
}

describe.skipIf(!existsSync(CHROMIUM))('the form of labs in a browser', () => {
  it('asks what the chosen profile asks, and what was chosen is what is started', async () => {
    const { page, sent } = await open();
    const image = page.getByRole('listbox', { name: 'Image', exact: true });
    await expect.poll(() => page.getByRole('radio', { name: /Introduction to data/ }).isChecked()).toBe(true);
    expect(await page.getByText('Only for staff').count()).toBe(0);
    expect(await page.getByRole('group', { name: 'Size' }).isVisible()).toBe(false);
    await image.selectOption('part-3');
    await page.getByLabel('Resources').selectOption({ label: 'A lot – 4 CPU, 16 GiB memory – for large tables' });
    expect(await page.locator('.about').textContent()).toBe('4 CPU, 16 GiB memory – for large tables');
    await page.getByRole('button', { name: 'Start' }).click();
    const { status, lab } = await createFrom(sent[0]);
    expect(status).toBe(201);
    expect(lab?.options.image).toBe('example.org/part:3');
    expect(lab?.profile).toMatchObject({ name: 'course', options: { memory: { choice: 'much' } } });
  });

  it('asks for image and size where the profile leaves them, and says what a profile has', async () => {
    const { page, sent } = await open();
    await page.getByRole('radio', { name: /As you like/ }).check();
    expect(await page.getByRole('listbox', { name: 'Image', exact: true }).isVisible()).toBe(false);
    await page.getByRole('radio', { name: /Large/ }).check();
    await page.getByRole('radio', { name: /Image 5/ }).check();
    expect(await page.getByText('8 CPU, 30 GiB memory, 1\u00a0×\u00a0nvidia.com/gpu').isVisible()).toBe(true);
    await page.getByRole('button', { name: 'Start' }).click();
    expect((await createFrom(sent[0])).lab).toMatchObject({
      profile: { name: 'free', options: {} },
      options: { size: 'large', image: 'example.org/image:5' },
    });
  });

  it('finds images by words, with the keyboard alone, and sends nothing on Enter', async () => {
    const { page, sent } = await open();
    const search = page.getByRole('searchbox', { name: 'Search Image' });
    await search.focus();
    await page.keyboard.type('part 1');
    await page.keyboard.press('Enter');
    const image = page.getByRole('listbox', { name: 'Image', exact: true });
    const shown = await image.evaluate((menu: unknown) =>
      [...(menu as { options: Iterable<{ hidden: boolean; value: string }> }).options].flatMap(({ hidden, value }) =>
        hidden ? [] : value,
      ),
    );
    expect(shown).toEqual(['part-1', 'part-10', 'part-11', 'part-12']);
    expect(await page.getByRole('status').first().textContent()).toBe('4 of 14');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowDown');
    expect(await image.inputValue()).toBe('part-10');
    expect(sent).toEqual([]);
  });

  it('tells the pattern before anything is sent, and sends only what matches it', async () => {
    const { page, sent } = await open();
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('unlisted-choice');
    const written = page.getByRole('textbox', { name: 'Another image' });
    expect(await page.getByText('An image of quay.io or ghcr.io with its tag').isVisible()).toBe(true);
    const start = page.getByRole('button', { name: 'Start' });
    for (const wrong of ['', 'evil.io/a:1', 'quay.io/a']) {
      await written.fill(wrong);
      await start.click();
      expect(
        await written.evaluate((field: unknown) => (field as { validity: { valid: boolean } }).validity.valid),
      ).toBe(false);
    }
    expect(sent).toEqual([]);
    // What stands in a field that is not asked for does not keep the form from being sent.
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('part-2');
    await start.click();
    await expect.poll(() => sent.length).toBe(1);
    await page.goto(HUB);
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('unlisted-choice');
    await written.fill('quay.io/jupyter/base-notebook:2026-11');
    await start.click();
    await expect.poll(() => sent.length).toBe(2);
    expect((await createFrom(sent[0])).lab?.options.image).toBe('example.org/part:2');
    expect((await createFrom(sent[1])).lab?.options.image).toBe('quay.io/jupyter/base-notebook:2026-11');
  });

  it('is not kept from being sent by what stands with another profile', async () => {
    const { page, sent } = await open();
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('unlisted-choice');
    await page.getByRole('textbox', { name: 'Another image' }).fill('wrong');
    await page.getByRole('radio', { name: /A GPU/ }).check();
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent.length).toBe(1);
    expect((await createFrom(sent[0])).lab?.profile).toMatchObject({ name: 'gpu' });
  });

  it('is not kept from being sent by an image that stands with another profile', async () => {
    const named = aConfig({
      images: { list: config.images.list, allowOther: { pattern: 'quay\\.io/.+' } },
      lab: {
        sizes: [{ name: 'small', cpu: 1, memory: '2Gi' }],
        profiles: [
          { name: 'free', title: 'Free' },
          { name: 'gpu', title: 'A GPU', image: IMAGE },
        ],
      },
    });
    const { page, sent } = await open({ of: named });
    await page.getByRole('textbox', { name: 'Image reference' }).fill('wrong');
    await page.getByRole('radio', { name: /A GPU/ }).check();
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent[0]?.get('profile')).toBe('gpu');
  });

  it('builds from a repository', async () => {
    const { page, sent } = await open();
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('repository-choice');
    await page.getByRole('textbox', { name: 'Repository' }).first().fill('jupyter/docs');
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent.length).toBe(1);
    expect((await createFrom(sent[0])).lab?.source?.repository.url).toBe('https://github.com/jupyter/docs');
  });

  it.each([
    [
      'the form',
      {
        profile: ['course'],
        'profile-option-course--image': ['unlisted-choice'],
        'profile-option-course--image--unlisted-choice': ['quay.io/a/b:1'],
        'profile-option-course--memory': ['much'],
        reset_user_env: ['true'],
      },
    ],
    [
      'callers',
      {
        profile: 'course',
        profile_options: { 'image--unlisted-choice': 'quay.io/a/b:1', memory: 'much' },
        reset_user_env: true,
      },
    ],
  ])('has the last choice of %s chosen beforehand', async (_, last) => {
    const { page } = await open({ last });
    expect(await page.getByRole('textbox', { name: 'Another image' }).inputValue()).toBe('quay.io/a/b:1');
    expect(await page.getByLabel('Resources').inputValue()).toBe('much');
    expect(await page.getByRole('checkbox', { name: /Reset user environment/ }).isChecked()).toBe(false);
  });

  it.each([
    ['gone'],
    [{ profile: 'staff', size: 'huge', image_list: 'x' }],
    [{ profile: 'course', profile_options: { image: ['a', 'b'], memory: 'gone' } }],
  ])('has what is chosen beforehand where the last choice is not there any more: %j', async (last) => {
    const { page } = await open({ last });
    expect(await page.getByRole('radio', { name: /Introduction to data/ }).isChecked()).toBe(true);
    expect(await page.getByRole('listbox', { name: 'Image', exact: true }).inputValue()).toBe('part-1');
    expect(await page.getByLabel('Resources').inputValue()).toBe('little');
  });

  it('has the last image and size of a form without profiles chosen beforehand', async () => {
    const of = aConfig();
    const last = { size: ['large'], image_list: [of.images.list[1]?.reference] };
    const { page } = await open({ of, last });
    expect(await page.getByRole('radio', { name: /Large/ }).isChecked()).toBe(true);
    expect(await page.getByRole('radio', { name: /SciPy/ }).isChecked()).toBe(true);
  });

  it('works without script, where it says which field counts when', async () => {
    const { page, sent } = await open({ javaScriptEnabled: false });
    await page.getByRole('radio', { name: /A GPU/ }).check();
    expect(await page.getByText('Counts where “Another image…” is chosen above.').isVisible()).toBe(true);
    expect(await page.getByRole('searchbox').count()).toBe(0);
    await page.getByRole('button', { name: 'Start' }).click();
    expect((await createFrom(sent[0])).lab?.profile).toEqual({ name: 'gpu', options: {}, ownSize: true });
    await page.goto(HUB);
    await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption('part-4');
    await page.getByRole('button', { name: 'Start' }).click();
    expect((await createFrom(sent[1])).lab?.options.image).toBe('example.org/part:4');
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ] as const)('has no fault that axe finds, and fits its window: %s, %i pixels', async (colorScheme, width) => {
    const { page } = await open({ colorScheme, viewport: { width, height: 900 } });
    const folder = process.env['FORM_PICTURES'];
    for (const [profile, choice] of [
      ['course', 'unlisted-choice'],
      ['course', 'repository-choice'],
      ['free', undefined],
    ] as const) {
      await page.locator(`[name=profile][value=${profile}]`).check();
      if (choice !== undefined) await page.getByRole('listbox', { name: 'Image', exact: true }).selectOption(choice);
      expect(await violationsOf(page)).toEqual([]);
      expect(await page.evaluate<boolean>(FITS)).toBe(true);
      if (folder !== undefined)
        await page.screenshot({
          path: `${folder}/form-${colorScheme}-${String(width)}-${choice ?? profile}.png`,
          fullPage: true,
        });
    }
  });
});

describe.skipIf(!existsSync(CHROMIUM))('the images of sources in a browser', () => {
  const repository = 'registry.example.org/labs/science';
  const digest = (at: number) => `sha256:${String(at).padStart(64, '0')}`;
  const tags = Array.from({ length: 40 }, (_, at) => `${String(at + 1)}.0.0`);
  const images = Object.fromEntries(
    tags.map((tag, at) => [tag, { digest: digest(at), size: 3 * 2 ** 30, architectures: null, former: [] }]),
  );
  const found = { origin: '', readAt: 0, tags, images, problem: null };
  const of = aConfig({
    images: {
      sources: [
        {
          name: 'science',
          title: 'Science',
          repository,
          tags: { recommended: '38.0.0', kinds: { release: { wanted: 3 } }, deprecated: ['[1-9]\\.0\\.0'] },
        },
      ],
      allowOther: false,
    },
    builds: { builder: { image: 'example.org/builder:1' }, registry: { host: 'registry.example.org' } },
  });
  const offered = offerImages(of, () => found, 0);
  const service: ImageService = {
    offered: () => offered,
    wanted: () => [],
    sources: () => [],
    pin: (image) => Promise.resolve(image),
  };
  /** The recommended one is on both machines, the newest on one, the others on none. */
  const warmth = (of: string) => {
    if (of === digest(37)) return { nodes: ['node-1', 'node-2'], missing: [] };
    if (of === digest(39)) return { nodes: ['node-1'], missing: ['node-2'], pullMs: 42_000 };
    return { nodes: [], missing: ['node-1', 'node-2'] };
  };
  const shown = { of, with: { images: service, prepull: aView(warmth) } };

  it('have the ones first that machines have, and say what has to be pulled', async () => {
    const { page, sent } = await open(shown);
    const named = await page.locator('.asks-image > .choices > label .name').allTextContents();
    expect(named).toEqual([
      'Science: 38.0.0 recommended',
      'Science: 40.0.0',
      'Science: 39.0.0',
      'Further images',
      'A repository',
    ]);
    const notes = (name: RegExp) => page.locator('label', { has: page.getByRole('radio', { name }) }).innerText();
    expect(await notes(/38\.0\.0/)).not.toMatch(/pulled|machines/);
    expect(await notes(/40\.0\.0/)).toContain(
      'Ready on 1 of 2 machines: 3 GiB to download; it took about 42 s before.',
    );
    expect(await notes(/39\.0\.0/)).toContain('Has to be pulled first: 3 GiB to download.');
    await page.getByRole('radio', { name: /40\.0\.0/ }).check();
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent[0]?.get('image_list')).toBe(`${repository}:40.0.0`);
  });

  it('are found in the menu with the keyboard alone, and the choice is made with it', async () => {
    const { page, sent } = await open(shown);
    await page.getByRole('searchbox', { name: 'Search further images' }).focus();
    await page.keyboard.type('21.0');
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowDown');
    expect(await page.getByRole('radio', { name: /Further images/ }).isChecked()).toBe(true);
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent[0]?.get('image_dropdown')).toBe(`${repository}:21.0.0`);
    expect(sent[0]?.get('image_list')).toBe('use_image_from_dropdown');
  });

  it('are searched by what their source is called, too, and a source without a match is not shown', async () => {
    const [science] = of.images.sources;
    if (science === undefined) throw new Error('there is no source');
    const tools = { ...science, name: 'tools', title: 'Tools' };
    const both = { ...of, images: { ...of.images, sources: [science, tools] } };
    const ofTools = { ...found, tags: ['7.0.0-tool'], images: {} };
    const all = offerImages(both, (name) => (name === 'tools' ? ofTools : found), 0);
    const { page } = await open({ of: both, with: { ...shown.with, images: { ...service, offered: () => all } } });
    const groups = () =>
      page.evaluate<string[]>('[...document.querySelectorAll("optgroup:not([hidden])")].map(({ label }) => label)');
    expect(await groups()).toEqual(['Science', 'Tools']);
    await page.getByRole('searchbox').fill('science 21.0');
    expect(await groups()).toEqual(['Science']);
    expect(await page.locator('option:not([hidden])').allTextContents()).toEqual(['21.0.0']);
    expect(await page.getByRole('status').textContent()).toMatch(/^1 of /);
  });

  it('are not said to be missing on machines where that is not known', async () => {
    const { page } = await open({ of, with: { images: service, prepull: aView(() => undefined) } });
    expect(await page.getByRole('radio', { name: /38\.0\.0/ }).count()).toBe(1);
    expect(await page.getByText(/pulled|machines/).count()).toBe(0);
  });

  it('have one frame of focus, around what has it', async () => {
    const { page } = await open(shown);
    await page.getByRole('searchbox').focus();
    const outline = (css: string) =>
      page.evaluate<string>(`getComputedStyle(document.querySelector('${css}')).outlineStyle`);
    expect(await outline('[type=search]')).toBe('solid');
    expect(await outline('label:has([type=search])')).toBe('none');
  });

  describe('where others may be named, within a pattern', () => {
    const within = { pattern: 'quay\\.io/[a-z/]+:[a-z0-9.]+', message: 'An image of quay.io.' };
    const named = { of: { ...of, images: { ...of.images, allowOther: within } }, with: shown.with };
    const start = (page: Page) => page.getByRole('button', { name: 'Start' }).click();

    it('are in the menu all the same, and the pattern is not for them', async () => {
      const { page, sent } = await open(named);
      await page.getByRole('listbox', { name: 'Further images' }).selectOption(`${repository}:21.0.0`);
      await start(page);
      await expect.poll(() => sent[0]?.get('image_dropdown')).toBe(`${repository}:21.0.0`);
      expect(sent[0]?.get('image_list')).toBe('use_image_from_dropdown');
    });

    it('are started whatever stands in the field for others', async () => {
      const { page, sent } = await open(named);
      await page.getByRole('textbox', { name: 'Image reference' }).fill('wrong');
      await start(page);
      expect(sent).toEqual([]);
      await page.getByRole('radio', { name: /38\.0\.0/ }).check();
      await start(page);
      await expect.poll(() => sent[0]?.get('image_list')).toBe(`${repository}:38.0.0`);
    });

    it('are not started in place of one that has not been said', async () => {
      const { page, sent } = await open(named);
      for (const name of [/Further images/, /Another image/, /A repository/]) {
        await page.getByRole('radio', { name }).check();
        await start(page);
      }
      expect(sent).toEqual([]);
      await page.getByRole('textbox', { name: 'Repository' }).fill('ada/notebooks');
      await start(page);
      await expect.poll(() => sent.length).toBe(1);
    });

    it.each([
      ['use_image_by_name', { image_name: ['quay.io/a/b:1'] }],
      ['use_image_from_dropdown', { image_dropdown: ['quay.io/a/b:1'] }],
    ])('leave a written one chosen beforehand, said with %s', async (said, last) => {
      const { page, sent } = await open({ ...named, last: { size: ['small'], image_list: [said], ...last } });
      expect(await page.getByRole('radio', { name: /Another image/ }).isChecked()).toBe(true);
      await start(page);
      await expect.poll(() => sent[0]?.get('image_name')).toBe('quay.io/a/b:1');
    });

    it('have no violation of accessibility', async () => {
      expect(await violationsOf((await open(named)).page)).toEqual([]);
    });
  });

  it('have the last choice chosen beforehand, also one of the menu, and work without script', async () => {
    const last = { size: ['small'], image_list: ['use_image_from_dropdown'], image_dropdown: [`${repository}:7.0.0`] };
    const { page, sent } = await open({ ...shown, last, javaScriptEnabled: false });
    expect(await page.getByRole('radio', { name: /Further images/ }).isChecked()).toBe(true);
    await page.getByRole('button', { name: 'Start' }).click();
    await expect.poll(() => sent[0]?.get('image_dropdown')).toBe(`${repository}:7.0.0`);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
    ['dark', 390],
  ] as const)('have no violation of accessibility in %s at %i px, and fit', async (colorScheme, width) => {
    const { page } = await open({ ...shown, colorScheme, viewport: { width, height: 900 } });
    expect(await violationsOf(page)).toEqual([]);
    expect(await page.evaluate(FITS)).toBe(true);
    if (process.env['PICTURES'] !== undefined)
      await page.screenshot({ path: `${process.env['PICTURES']}/images-${colorScheme}-${width}.png`, fullPage: true });
  });
});
