import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { aConfig, API, DIGEST, fakeLabs, IMAGE, testApp } from '../support.ts';

async function formOf(config = aConfig()): Promise<string> {
  const response = await testApp({ config }).call(`${API}/lab-form/ada`, { as: 'ada' });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
  return response.text();
}

/** The inputs of a form that have a name, with whether they are checked. */
function fieldsOf(form: string): string[] {
  return [...form.matchAll(/<input type="(radio|checkbox)" name="(\w+)" value="([^"]*)"( checked)?>/g)].map(
    ([, , name, value, checked]) => `${name ?? ''}=${value ?? ''}${checked === undefined ? '' : ' (checked)'}`,
  );
}

describe('the lab form', () => {
  it('has the field names of Nublado, and a choice made in each group', async () => {
    expect(fieldsOf(await formOf())).toEqual([
      `image_list=${IMAGE} (checked)`,
      `image_list=quay.io/jupyter/scipy-notebook:w_2026_47@${DIGEST}`,
      'size=small (checked)',
      'size=large',
      'enable_debug=true',
      'reset_user_env=true',
    ]);
  });

  it('says what a size has', async () => {
    const form = await formOf();
    expect(form).toContain('1 CPU, 2 GiB memory');
    expect(form).toContain('4 CPU, 16 GiB memory, 1\u00a0×\u00a0nvidia.com/gpu');
  });

  it('says amounts as they were written', async () => {
    const config = aConfig({ lab: { sizes: [{ name: 'small', cpu: 1, memory: '14G' }] } });
    const form = await (await testApp({ config }).call(`${API}/lab-form/ada`, { as: 'ada' })).text();
    expect(form).toContain('1 CPU, 14 GB memory');
  });

  it('has titles and descriptions, and says which sizes an image goes with', async () => {
    const config = aConfig({
      images: { list: [{ reference: IMAGE, name: 'Python', description: 'With <b>SciPy</b>', sizes: ['large'] }] },
      lab: {
        sizes: [
          { name: 'small', cpu: 1, memory: '1Gi', title: 'For the course' },
          { name: 'large', cpu: 2, memory: '2Gi', title: 'With a GPU', description: 'There are few of them.' },
        ],
      },
    });
    const form = await formOf(config);
    expect(form).toContain('<span class="name">For the course</span>');
    expect(form).toContain('<span class="note">There are few of them.</span>');
    expect(form).toContain('<span class="note">With &lt;b&gt;SciPy&lt;/b&gt;</span>');
    expect(form).toContain('<span class="note">Size: With a GPU</span>');
  });

  it('offers what is for groups to those that are in one of them', async () => {
    const of = (group: string) =>
      aConfig({
        images: { list: [{ reference: IMAGE }, { reference: 'example.org/lab:2', groups: [group] }] },
        lab: {
          sizes: [
            { name: 'small', cpu: 1, memory: '1Gi' },
            { name: 'large', cpu: 2, memory: '2Gi', groups: [group, 'others'] },
          ],
        },
      });
    const choices = async (group: string) =>
      fieldsOf(await formOf(of(group))).filter((field) => /^(?:size|image_list)=/.test(field));
    const everybodys = [`image_list=${IMAGE} (checked)`, 'size=small (checked)'];
    expect(await choices('chemists')).toEqual(everybodys);
    expect(await choices('astronomers')).toEqual([
      everybodys[0],
      'image_list=example.org/lab:2',
      everybodys[1],
      'size=large',
    ]);
  });

  it('tells somebody who is offered nothing so', async () => {
    const config = aConfig({ lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi', groups: ['chemists'] }] } });
    expect(await formOf(config)).toContain('No notebooks are offered to the groups that you are in.');
  });

  it('is a fragment for the form of the hub', async () => {
    expect(await formOf()).not.toMatch(/<html|<body|<form|<script/);
  });

  it('offers the default size, and only sizes within the quota', async () => {
    const lab = { ...aConfig().lab, defaultSize: 'large' };
    const sizes = (config: ReturnType<typeof aConfig>) =>
      formOf(config).then((form) => fieldsOf(form).filter((field) => field.startsWith('size=')));
    expect(await sizes({ ...aConfig(), lab })).toEqual(['size=small', 'size=large (checked)']);
    const quotas = { groups: {}, users: { ada: { cpu: 2, memory: 2 ** 32, spawn: true } } };
    expect(await sizes({ ...aConfig(), lab, quotas })).toEqual(['size=small (checked)']);
  });

  it.each([
    [{ cpu: 0, memory: 0, spawn: false }, 'switched off'],
    [{ cpu: 0.1, memory: 2 ** 20, spawn: true }, 'Your quota is smaller'],
  ])('tells a user who can have no lab so, as an answer and not as an error', async (quota, text) => {
    const form = await formOf({ ...aConfig(), quotas: { groups: {}, users: { ada: quota } } });
    expect(form).toContain('Notebooks unavailable');
    expect(form).toContain(text);
    expect(fieldsOf(form)).toEqual([]);
  });

  it('puts the recommended image first and what is too much into a menu', async () => {
    const list = Array.from({ length: 12 }, (_, at) => ({
      reference: `a/b:t${String(at)}`,
      name: `Image ${String(at)}`,
    }));
    const config = aConfig({ images: { list: [...list, { reference: 'a/b:best', class: 'recommended' }] } });
    const form = await formOf(config);
    const images = fieldsOf(form).filter((field) => field.startsWith('image_list='));
    expect(images[0]).toBe('image_list=a/b:best (checked)');
    expect(images.at(-1)).toBe('image_list=use_image_from_dropdown');
    expect(form).toMatch(/<select name="image_dropdown"[^>]*><option value="a\/b:t7">Image 7<\/option>/);
  });

  it('has a text field where any image is allowed', async () => {
    const form = await formOf(aConfig({ images: { list: [{ reference: IMAGE }], allowOther: true } }));
    expect(form).toMatch(/<input type="text" name="image_name"/);
    expect(fieldsOf(form)).toContain('image_list=use_image_by_name');
  });

  it('escapes what the configuration says', async () => {
    const config = aConfig({ images: { list: [{ reference: IMAGE, name: `<img src=x onerror="alert('1')">&` }] } });
    expect(await formOf(config)).toContain('&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;');
  });

  it('does not wait for the cluster', async () => {
    const labs = fakeLabs([], { ready: () => new Promise(() => undefined) });
    expect((await testApp({ labs }).call(`${API}/lab-form/ada`, { as: 'ada' })).status).toBe(200);
  });

  it('may load nothing and run only its own handlers when looked at alone', async () => {
    const response = await testApp().call(`${API}/lab-form/ada`, { as: 'ada' });
    expect(response.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'unsafe-hashes'(?: 'sha256-[^']+')+;/,
    );
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });
});
